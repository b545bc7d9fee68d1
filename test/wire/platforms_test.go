package wire

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"imagemirror/internal/digest"
	"imagemirror/internal/execute"
	"imagemirror/internal/fault"
	"imagemirror/internal/imageset"
	"imagemirror/internal/manifest"
	"imagemirror/internal/mirror"
	"imagemirror/internal/plan"
	"imagemirror/internal/progress"
	"imagemirror/internal/record"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

const (
	twoPlatforms = "platforms: [linux/amd64, linux/arm64/v8]"
	rewritten    = "platforms: {only: [linux/amd64, linux/arm64/v8], form: rewrite}"
	flattened    = "platforms: {only: [linux/arm64], form: flatten}"
)

// newSparsePair starts two registries. The destination accepts indexes without all of their
// manifests.
func newSparsePair(t *testing.T) pair {
	t.Helper()
	return pair{newRegistry(t, nil), start(t, registrytest.DistributionOptions{Sparse: true}, nil)}
}

// mirrorSet copies the images of a set whose settings have a key.
func mirrorSet(t *testing.T, spec string, lines ...string) run {
	t.Helper()
	var out strings.Builder
	if _, err := stream.Write(&out, planned(t, setWith(t, spec, lines...))); err != nil {
		t.Fatal(err)
	}
	return carry(t, settings(), anonymous{}, read(t, strings.NewReader(out.String())))
}

func digestOfIndex(t *testing.T, what v1.ImageIndex) string {
	t.Helper()
	h, err := what.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}

// children returns the digests of what an index lists.
func children(t *testing.T, index v1.ImageIndex) (list []string) {
	t.Helper()
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range m.Manifests {
		list = append(list, d.Digest.String())
	}
	return list
}

// wantManifests fails the test unless a destination has exactly these manifests of a list.
func (p pair) wantManifests(t *testing.T, repository string, all, want []string) {
	t.Helper()
	d, err := client(t, settings()).Destination(t.Context(), parse(t, p.destination.backend+"/"+repository), false)
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range all {
		_, err := d.Head(t.Context(), id)
		if has := err == nil; has != slices.Contains(want, id) {
			t.Errorf("the destination has manifest %d: %t (%v)", i, has, err)
		}
	}
}

// A coldRun counts the requests of a first run.
type coldRun struct{ reads, blobs, pushes int }

// mirrorIndex pushes an index to the source and mirrors it as a set's settings ask. It fails the
// test unless the run costs exactly what is wanted.
func (p pair) mirrorIndex(t *testing.T, index v1.ImageIndex, spec string, want coldRun) run {
	t.Helper()
	push(t, p.source, "ci/a:v1", index)
	p.reset()
	got := mirrorSet(t, spec, line(p, "ci/a:v1", "m/a:v1"))
	got.allAre(t, stream.Copied)
	wantRequests(t, p.source, map[string]int{"GET manifest": want.reads, "GET blob": want.blobs, "GET tags": 1, "GET referrers": 1})
	wantRequests(t, p.destination, map[string]int{
		"HEAD manifest": 1, "POST mount": want.blobs, "PUT upload": want.blobs, "PUT manifest": want.pushes,
	})
	return got
}

// mirrorAgain repeats a run of mirrorIndex. It fails the test unless the image is current, which
// costs a HEAD at the destination and a request of a kind at the source.
func (p pair) mirrorAgain(t *testing.T, spec, atSource string) run {
	t.Helper()
	p.reset()
	again := mirrorSet(t, spec, line(p, "ci/a:v1", "m/a:v1"))
	again.allAre(t, stream.Current)
	wantRequests(t, p.source, map[string]int{atSource: 1})
	wantRequests(t, p.destination, map[string]int{"HEAD manifest": 1})
	return again
}

func threePlatforms(f registrytest.Format, name string) v1.ImageIndex {
	return registrytest.NewPlatforms(f, name, 3000, []string{"amd64", "arm64", "s390x"}, registrytest.NewLayer("shared", 5000))
}

// A sparse index keeps its digest, and only what is asked for is copied. A quiet run is HEAD and
// HEAD.
func TestSparseIndex(t *testing.T) {
	t.Parallel()
	for _, f := range []registrytest.Format{registrytest.OCI, registrytest.Docker} {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			p := newSparsePair(t)
			index := threePlatforms(f, "sparse")
			all := children(t, index)
			got := p.mirrorIndex(t, index, twoPlatforms, coldRun{reads: 3, blobs: 5, pushes: 3})
			p.wantAt(t, "m/a:v1", digestOfIndex(t, index))
			p.wantManifests(t, "m/a", all, all[:2])
			c := got.plan.Copies[0]
			if !slices.Equal(c.Only, all[:2]) || c.Rewritten != "" || strings.Join(c.Platforms, " ") != "linux/amd64 linux/arm64" {
				t.Errorf("the copy is %+v", c)
			}
			p.mirrorAgain(t, twoPlatforms, "HEAD manifest")
		})
	}
}

// A rewritten index lists only what is asked for. A second run computes the same digest with one
// GET and writes nothing.
func TestRewrittenIndex(t *testing.T) {
	t.Parallel()
	for _, f := range []registrytest.Format{registrytest.OCI, registrytest.Docker} {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			index := threePlatforms(f, "rewritten")
			all := children(t, index)
			got := p.mirrorIndex(t, index, rewritten, coldRun{reads: 3, blobs: 5, pushes: 3})
			r := got.results[p.destination.Host+"/m/a:v1"]
			if r.Rewritten != digestOfIndex(t, index) || r.Digest == r.Rewritten || len(r.Platforms) != 2 {
				t.Errorf("the result is %+v", r)
			}
			p.wantAt(t, "m/a:v1", r.Digest)
			p.wantManifests(t, "m/a", append(all, r.Rewritten), all[:2])
			if err := registrytest.Validate(t.Context(), p.destination.backend+"/m/a:v1", p.destination.backend+"/m/a:v1"); err != nil {
				t.Error(err)
			}
			again := p.mirrorAgain(t, rewritten, "GET manifest")
			if r := again.results[p.destination.Host+"/m/a:v1"]; r.Rewritten != digestOfIndex(t, index) {
				t.Errorf("the result is %+v", r)
			}
		})
	}
}

// The image for one platform becomes what its tag points at.
func TestFlattenedIndex(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	index := threePlatforms(registrytest.OCI, "flattened")
	all := children(t, index)
	p.mirrorIndex(t, index, flattened, coldRun{reads: 2, blobs: 3, pushes: 1})
	p.wantAt(t, "m/a:v1", all[1])
	p.mirrorAgain(t, flattened, "GET manifest")
}

// Without a tag, a rewritten index is at its own digest, which is asked for once it is known.
func TestRewrittenIndexByDigest(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	index := push(t, p.source, "ci/a:v1", threePlatforms(registrytest.OCI, "by-digest"))
	lines := line(p, "ci/a@"+index, "m/a")
	mirrorSet(t, rewritten, lines).allAre(t, stream.Copied)
	p.reset()
	mirrorSet(t, rewritten, lines).allAre(t, stream.Current)
	wantRequests(t, p.source, map[string]int{"GET manifest": 1})
	wantRequests(t, p.destination, map[string]int{"HEAD manifest": 1})
}

// A tag that is at the whole index is moved to the part that is asked for, and back.
func TestFormsReplaceEachOther(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	index := push(t, p.source, "ci/a:v1", threePlatforms(registrytest.OCI, "forms"))
	to := line(p, "ci/a:v1", "m/a:v1")
	digests := map[string]bool{}
	for _, spec := range []string{"rate: 100", rewritten, flattened, "rate: 100"} {
		got := mirrorSet(t, spec, to)
		got.allAre(t, stream.Copied)
		at := got.results[p.destination.Host+"/m/a:v1"].Digest
		p.wantAt(t, "m/a:v1", at)
		digests[at] = true
		mirrorSet(t, spec, to).allAre(t, stream.Current)
	}
	if len(digests) != 3 || !digests[index] {
		t.Errorf("the tag was at %v", digests)
	}
}

// mirrorKnowing copies the images of a set that has a record.
func mirrorKnowing(t *testing.T, known []*record.Destination, spec string, lines ...string) run {
	t.Helper()
	o := plan.Options{Client: client(t, settings()), Recall: func(_ context.Context, set string) (*record.Record, error) {
		r := record.New(set)
		r.Destinations = known
		return r, nil
	}}
	p, err := plan.Make(t.Context(), o, setWith(t, spec, lines...))
	if err != nil {
		t.Fatal(err)
	}
	return carry(t, settings(), anonymous{}, &p.Content)
}

// The digest of a sparse index does not tell which platforms were copied. The record does: what a
// changed list asks for is brought, and the tag stays.
func TestPlatformsAreAddedToSparseIndex(t *testing.T) {
	t.Parallel()
	p := newSparsePair(t)
	index := threePlatforms(registrytest.OCI, "added")
	all := children(t, index)
	at := push(t, p.source, "ci/a:v1", index)
	to := line(p, "ci/a:v1", "m/a:v1")
	mirrorSet(t, "platforms: [linux/amd64]", to).allAre(t, stream.Copied)
	known := []*record.Destination{{Name: p.destination.Host + "/m/a:v1", Digest: at, Platforms: []string{"linux/amd64"}}}
	mirrorKnowing(t, known, "platforms: [linux/amd64]", to).allAre(t, stream.Current)
	p.wantManifests(t, "m/a", all, all[:1])
	p.reset()
	got := mirrorKnowing(t, known, twoPlatforms, to)
	got.allAre(t, stream.Copied)
	p.wantManifests(t, "m/a", all, all[:2])
	if n := p.destination.Stats().Requests["PUT manifest"]; n != 3 {
		t.Errorf("%d manifests are pushed, want the two children and the index", n)
	}
	known[0].Platforms = []string{"linux/amd64", "linux/arm64"}
	mirrorKnowing(t, known, twoPlatforms, to).allAre(t, stream.Current)
	mirrorKnowing(t, known, "immutable: [v*]", to).allAre(t, stream.Current) // an immutable tag is not looked at
	mirrorKnowing(t, known, "rate: 1000", to).allAre(t, stream.Copied)
	wantArrived(t, p, "ci/a:v1", "m/a:v1")
	known[0].Platforms = nil
	mirrorKnowing(t, known, "rate: 1000", to).allAre(t, stream.Current)
}

// What refers to the manifests that are copied travels, and nothing else: not what refers to an
// index that is rewritten, and not what refers to a platform that is left out.
func TestReferrersOfPlatforms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, spec string
		travels    []int // of the index, amd64, arm64 and s390x
	}{
		{"sparse", twoPlatforms, []int{0, 1, 2}},
		{"rewrite", rewritten, []int{1, 2}},
		{"flatten", flattened, []int{2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := pair{startAs(t, true), start(t, registrytest.DistributionOptions{Sparse: true}, nil)}
			index := threePlatforms(registrytest.OCI, "signed")
			push(t, p.source, "ci/a:v1", index)
			var all, want []string
			for i, subject := range append([]string{digestOfIndex(t, index)}, children(t, index)...) {
				all = append(all, attach(t, p.source, "ci/a", subject, "application/vnd.example.sig"))
				if slices.Contains(c.travels, i) {
					want = append(want, all[i])
				}
			}
			got := mirrorSet(t, c.spec, line(p, "ci/a:v1", "m/a:v1"))
			got.allAre(t, stream.Copied)
			p.wantManifests(t, "m/a", all, want)
			// What is made later travels by the same rule.
			later := attach(t, p.source, "ci/a", children(t, index)[1], "application/vnd.example.sbom")
			left := attach(t, p.source, "ci/a", children(t, index)[2], "application/vnd.example.sbom")
			always := c.spec + "\n  referrers: {copy: always}"
			mirrorSet(t, always, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Current)
			p.wantManifests(t, "m/a", append(all, later, left), append(want, later))
			p.reset()
			mirrorSet(t, always, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Current)
			if n := p.destination.Stats().Requests["PUT manifest"]; n > 0 {
				t.Errorf("a quiet run pushes %d manifests", n)
			}
		})
	}
}

// Two sets that ask for other platforms of one source get what each asks for.
func TestSetsAskForOtherPlatforms(t *testing.T) {
	t.Parallel()
	p := newSparsePair(t)
	index := threePlatforms(registrytest.OCI, "sets")
	all := children(t, index)
	push(t, p.source, "ci/a:v1", index)
	var sets []*imageset.Set
	for i, spec := range []string{"platforms: [linux/amd64]", "platforms: {only: [linux/s390x], form: rewrite}", "rate: 1000", flattened} {
		sets = append(sets, setWith(t, spec, line(p, "ci/a:v1", fmt.Sprintf("m%d/a:v1", i)))...)
	}
	carry(t, settings(), anonymous{}, planned(t, sets)).allAre(t, stream.Copied)
	p.wantManifests(t, "m0/a", all, all[:1])
	p.wantManifests(t, "m1/a", all, all[2:])
	p.wantManifests(t, "m2/a", all, all)
	p.wantManifests(t, "m3/a", all, all[1:2])
	carry(t, settings(), anonymous{}, planned(t, sets)).allAre(t, stream.Current)
}

// An index of the largest size costs as little as what is asked for of it.
func TestPlatformsOfLargestIndex(t *testing.T) {
	t.Parallel()
	p := newSparsePair(t)
	image := registrytest.NewImage(registrytest.OCI, "one", "amd64", registrytest.NewLayer("one", 900))
	push(t, p.source, "ci/a:one", image)
	entry := func(id, platform string) string {
		return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":1,"platform":%s}`, manifest.OCIManifest, id, platform)
	}
	raw, err := image.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	entries := []string{strings.Replace(entry(digestOf(t, image), `{"os":"linux","architecture":"amd64"}`), `"size":1`, fmt.Sprintf(`"size":%d`, len(raw)), 1)}
	junk := []string{`{"os":"linux","architecture":"\u202e"}`, `{"os":"x","os":"linux"}`, `{"os":"linux"}`, `{"os":"linux","architecture":"arm64"}`}
	for i := range 17_000 {
		entries = append(entries, entry(digest.Of(fmt.Append(nil, i)), junk[i%len(junk)]))
	}
	content := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, manifest.OCIIndex, strings.Join(entries, ","))
	p.source.Inject(registrytest.FaultRule{Kind: "GET manifest", Path: regexp.MustCompile("v1$|" + digest.Of(content)),
		Fault: registrytest.Status(200, string(content), "Content-Type", manifest.OCIIndex, "Docker-Content-Digest", digest.Of(content))})
	p.reset()
	mirrorSet(t, "platforms: [linux/amd64]", line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
	wantRequests(t, p.source, map[string]int{"GET manifest": 2, "GET blob": 2, "GET tags": 1, "GET referrers": 1})
	mirrorSet(t, "platforms: {only: [linux/amd64], form: rewrite}", line(p, "ci/a:v1", "m/b:v1")).allAre(t, stream.Copied)
	if got := mirrorSet(t, "platforms: [linux/arm64]", line(p, "ci/a:v1", "m/c:v1")).results[p.destination.Host+"/m/c:v1"]; got.Error == nil || got.Error.Kind != fault.TooLarge {
		t.Errorf("4,250 images for one platform: %+v", got.Error)
	}
}

// A check with -online reads indexes of sets that choose platforms, and finds those for others.
func TestProbeOfPlatforms(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	push(t, p.source, "ci/a:v1", threePlatforms(registrytest.OCI, "probe"))
	lines := []string{line(p, "ci/a:v1", "m/a:v1"), line(p, "ci/b:v1", "m/b:v1")}
	push(t, p.source, "ci/b:v1", registrytest.NewPlatforms(registrytest.OCI, "b", 500, []string{"s390x"}))
	for _, spec := range []string{twoPlatforms, rewritten} {
		p.reset()
		doubts, err := plan.Probe(t.Context(), plan.Options{Client: client(t, settings())}, setWith(t, spec, lines...))
		if err != nil || len(doubts) != 1 || doubts[0].Moves || !strings.HasSuffix(doubts[0].Err.Error(), "the image is for linux/s390x, and platforms asks for linux/amd64, linux/arm64") {
			t.Errorf("%s: %v, %v", spec, doubts, err)
		}
		wantRequests(t, p.source, map[string]int{"GET manifest": 2})
	}
	// The digest that an immutable tag has to be at is that of the rewritten index.
	mirrorSet(t, rewritten, lines[0]).allAre(t, stream.Copied)
	immutable := rewritten + "\n  immutable: [v*]"
	if doubts, err := plan.Probe(t.Context(), plan.Options{Client: client(t, settings())}, setWith(t, immutable, lines[0])); err != nil || len(doubts) > 0 {
		t.Errorf("%v, %v", doubts, err)
	}
	other := twoPlatforms + "\n  immutable: [v*]"
	if doubts, err := plan.Probe(t.Context(), plan.Options{Client: client(t, settings())}, setWith(t, other, lines[0])); err != nil || len(doubts) != 1 || !doubts[0].Moves {
		t.Errorf("%v, %v", doubts, err)
	}
}

// Each shard of a plan has what its sparse indexes need, and a run in one process opens uploads of
// nothing else ahead.
func TestPartsOfIndexesInShardsAndRuns(t *testing.T) {
	t.Parallel()
	p := newSparsePair(t)
	var lines []string
	var all []string
	for i := range 3 {
		name := fmt.Sprintf("shard%d", i)
		index := threePlatforms(registrytest.OCI, name)
		push(t, p.source, "ci/"+name+":v1", index)
		all = append(all, children(t, index)...)
		lines = append(lines, line(p, "ci/"+name+":v1", "m/"+name+":v1"))
	}
	p.reset()
	made, err := plan.Make(t.Context(), plan.Options{Client: client(t, settings())}, setWith(t, twoPlatforms, lines...))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range made.Cut(3).Shards {
		var out strings.Builder
		if _, err := stream.Write(&out, s); err != nil {
			t.Fatal(err)
		}
		carry(t, settings(), anonymous{}, read(t, strings.NewReader(out.String()))).allAre(t, stream.Copied)
	}
	for i := range 3 {
		p.wantManifests(t, fmt.Sprintf("m/shard%d", i), all[3*i:3*i+3], all[3*i:3*i+2])
	}

	c := client(t, settings())
	start := mirror.NewHeadStart(t.Context(), c)
	defer start.Close()
	p.reset()
	ahead, err := plan.Make(t.Context(), plan.Options{Client: c, Ready: start.Open}, setWith(t, twoPlatforms, line(p, "ci/shard0:v1", "run/a:v1")))
	if err != nil {
		t.Fatal(err)
	}
	work, err := execute.Gather([]*stream.Content{&ahead.Content})
	if err != nil {
		t.Fatal(err)
	}
	display := progress.New(os.Stderr, slog.New(slog.DiscardHandler), 1, 1)
	defer display.Close()
	results := work.Run(t.Context(), mirror.Options{Client: c, Start: start, Observer: display, Grace: time.Second})
	run{results: resultsOf(t, results)}.allAre(t, stream.Copied)
	if got := p.destination.Stats().Requests; got["POST mount"]+got["POST upload"] != 5 || got["DELETE upload"] > 0 {
		t.Errorf("uploads of other platforms were opened: %v", got)
	}
}

// An additional tag has the digest of what is pushed.
func TestAdditionalTagsOfRewrittenIndex(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	push(t, p.source, "ci/a:v1", threePlatforms(registrytest.OCI, "tagged"))
	got := mirrorSet(t, rewritten+"\n  tags: ['{tag}-{digest:12}-{label:name}']", line(p, "ci/a:v1", "m/a:v1"))
	got.allAre(t, stream.Copied)
	at := got.results[p.destination.Host+"/m/a:v1"].Digest
	p.wantAt(t, "m/a:v1-"+at[7:19]+"-tagged", at)
}
