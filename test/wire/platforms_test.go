package wire

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"imagemirror/internal/fault"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

const (
	twoPlatforms = "platforms: [linux/amd64, linux/arm64/v8]"
	rewritten    = "platforms: {only: [linux/amd64, linux/arm64/v8], form: rewrite}"
	flattened    = "platforms: {only: [linux/arm64], form: flatten}"
)

// newSparsePair starts two registries, of which the destination accepts indexes without all of
// their manifests.
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
			push(t, p.source, "ci/a:v1", index)
			p.reset()
			got := mirrorSet(t, twoPlatforms, line(p, "ci/a:v1", "m/a:v1"))
			got.allAre(t, stream.Copied)
			wantRequests(t, p.source, map[string]int{"GET manifest": 3, "GET blob": 5, "GET tags": 1, "GET referrers": 1})
			wantRequests(t, p.destination, map[string]int{"HEAD manifest": 1, "POST mount": 5, "PUT upload": 5, "PUT manifest": 3})
			p.wantAt(t, "m/a:v1", digestOfIndex(t, index))
			p.wantManifests(t, "m/a", all, all[:2])
			c := got.plan.Copies[0]
			if !slices.Equal(c.Only, all[:2]) || c.Rewritten != "" || strings.Join(c.Platforms, " ") != "linux/amd64 linux/arm64" {
				t.Errorf("the copy is %+v", c)
			}
			p.reset()
			mirrorSet(t, twoPlatforms, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Current)
			wantRequests(t, p.source, map[string]int{"HEAD manifest": 1})
			wantRequests(t, p.destination, map[string]int{"HEAD manifest": 1})
		})
	}
}

// A rewritten index lists only what is asked for. A second run computes the same digest with one GET
// and writes nothing.
func TestRewrittenIndex(t *testing.T) {
	t.Parallel()
	for _, f := range []registrytest.Format{registrytest.OCI, registrytest.Docker} {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			index := threePlatforms(f, "rewritten")
			all := children(t, index)
			push(t, p.source, "ci/a:v1", index)
			p.reset()
			got := mirrorSet(t, rewritten, line(p, "ci/a:v1", "m/a:v1"))
			got.allAre(t, stream.Copied)
			wantRequests(t, p.source, map[string]int{"GET manifest": 3, "GET blob": 5, "GET tags": 1, "GET referrers": 1})
			wantRequests(t, p.destination, map[string]int{"HEAD manifest": 1, "POST mount": 5, "PUT upload": 5, "PUT manifest": 3})
			r := got.results[p.destination.Host+"/m/a:v1"]
			if r.Rewritten != digestOfIndex(t, index) || r.Digest == r.Rewritten || len(r.Platforms) != 2 {
				t.Errorf("the result is %+v", r)
			}
			p.wantAt(t, "m/a:v1", r.Digest)
			p.wantManifests(t, "m/a", append(all, r.Rewritten), all[:2])
			if err := registrytest.Validate(t.Context(), p.destination.backend+"/m/a:v1", p.destination.backend+"/m/a:v1"); err != nil {
				t.Error(err)
			}
			p.reset()
			again := mirrorSet(t, rewritten, line(p, "ci/a:v1", "m/a:v1"))
			again.allAre(t, stream.Current)
			wantRequests(t, p.source, map[string]int{"GET manifest": 1})
			wantRequests(t, p.destination, map[string]int{"HEAD manifest": 1})
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
	push(t, p.source, "ci/a:v1", index)
	p.reset()
	got := mirrorSet(t, flattened, line(p, "ci/a:v1", "m/a:v1"))
	got.allAre(t, stream.Copied)
	wantRequests(t, p.source, map[string]int{"GET manifest": 2, "GET blob": 3, "GET tags": 1, "GET referrers": 1})
	wantRequests(t, p.destination, map[string]int{"HEAD manifest": 1, "POST mount": 3, "PUT upload": 3, "PUT manifest": 1})
	p.wantAt(t, "m/a:v1", all[1])
	p.reset()
	mirrorSet(t, flattened, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Current)
	wantRequests(t, p.source, map[string]int{"GET manifest": 1})
	wantRequests(t, p.destination, map[string]int{"HEAD manifest": 1})
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

// A registry that wants all manifests of an index to be there is named, with what to do.
func TestSparseIndexIsRefused(t *testing.T) {
	t.Parallel()
	for name, destination := range map[string]func(t *testing.T) remoteRegistry{
		"distribution":           func(t *testing.T) remoteRegistry { return newRegistry(t, nil) },
		"go-containerregistry's": func(t *testing.T) remoteRegistry { return startAs(t, true) },
		"ociserver":              startOCIServer,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := pair{newRegistry(t, nil), destination(t)}
			push(t, p.source, "ci/a:v1", threePlatforms(registrytest.OCI, "refused"))
			config := settings()
			config.Retries = 1
			to := line(p, "ci/a:v1", "m/a:v1")
			got := carry(t, config, anonymous{}, planned(t, setWith(t, twoPlatforms, to)))
			wantSparseRefused(t, got, p.destination.Host+"/m/a:v1")
			mirrorSet(t, rewritten, to).allAre(t, stream.Copied)
		})
	}
}

func startOCIServer(t *testing.T) remoteRegistry {
	t.Helper()
	r := registrytest.StartOCIServer()
	t.Cleanup(r.Close)
	return remoteRegistry{registrytest.NewProxy(t, r, registrytest.ProxyOptions{}), r.Host}
}

func wantSparseRefused(t *testing.T, got run, destination string) {
	t.Helper()
	e := got.results[destination].Error
	if e == nil || e.Kind != fault.Unsupported || !strings.Contains(e.Message, "the index lists 1 manifest that spec.platforms leaves out") ||
		!strings.Contains(e.Advice, "set platforms.form: rewrite") {
		t.Errorf("%s has the error %+v", destination, e)
	}
}

// Once a registry has refused a sparse index for what is not there, others are not sent to it, unless
// the children that they leave out happen to be there.
func TestRefusalOfSparseIndexesIsRemembered(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	push(t, p.source, "ci/a:v1", threePlatforms(registrytest.OCI, "first"))
	there := threePlatforms(registrytest.OCI, "there")
	push(t, p.source, "ci/b:v1", there)
	push(t, p.destination, "m/b:whole", there)
	lines := []string{line(p, "ci/a:v1", "m/a:v1"), line(p, "ci/b:v1", "m/b:v1")}
	for i := range 3 {
		tag := fmt.Sprintf("large:v%d", i)
		index := threePlatforms(registrytest.OCI, tag)
		push(t, p.source, "ci/"+tag, index)
		lines = append(lines, line(p, "ci/"+tag, "m/"+tag))
		p.destination.Inject(registrytest.FaultRule{Kind: "PUT manifest", Path: regexp.MustCompile(children(t, index)[0]), Fault: registrytest.Stall()})
	}
	// The child of the image whose others are there waits until these were asked for.
	asked := make(chan struct{})
	wait := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-asked; next.ServeHTTP(w, r) })
	}
	tell := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(w, r); close(asked) })
	}
	p.destination.Inject(
		registrytest.FaultRule{Kind: "PUT manifest", Path: regexp.MustCompile("m/b/manifests/" + children(t, there)[0]), Fault: wait},
		registrytest.FaultRule{Kind: "HEAD manifest", Path: regexp.MustCompile("m/b/manifests/" + children(t, there)[2]), Fault: tell})
	p.reset()
	got := mirrorSet(t, twoPlatforms, lines...)
	wantSparseRefused(t, got, p.destination.Host+"/m/a:v1")
	for i := range 3 {
		wantSparseRefused(t, got, p.destination.Host+fmt.Sprintf("/m/large:v%d", i))
	}
	if r := got.results[p.destination.Host+"/m/b:v1"]; r.Status != stream.Copied {
		t.Errorf("the index whose children are there is %s: %+v", r.Status, r.Error)
	}
	for _, q := range p.destination.Log() {
		if q.Kind == "PUT manifest" && q.Repo == "m/large" && strings.HasPrefix(q.Ref, "v") {
			t.Errorf("an index was sent: %s", q.Path)
		}
	}
}
