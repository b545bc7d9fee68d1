package wire

import (
	"context"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"imagemirror/internal/execute"
	"imagemirror/internal/fault"
	"imagemirror/internal/imageset"
	"imagemirror/internal/mirror"
	"imagemirror/internal/plan"
	"imagemirror/internal/progress"
	"imagemirror/internal/record"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/report"
	"imagemirror/internal/rollback"
	"imagemirror/internal/stream"
)

// A recordedSet is a set with a record, as a shell has them.
type recordedSet struct {
	pair
	set   *imageset.Set
	store record.Store
}

func newRecordedSet(t *testing.T, p pair, lines ...string) recordedSet {
	t.Helper()
	store, err := record.OpenDirectory(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return recordedSet{p, setWith(t, "shards: 1", lines...)[0], store}
}

// Images with only one platform copied go back in each form: of a sparse index the others need not
// be there, and a hold compares what the source itself has.
func TestRollbackOfPlatforms(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"sparse", "rewrite", "flatten"} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			p := newSparsePair(t)
			s := newRecordedSet(t, p, line(p, "ci/c:v1", "m/c:v1"))
			s.set = setWith(t, "platforms: {only: [linux/amd64], form: "+form+"}", line(p, "ci/c:v1", "m/c:v1"))[0]
			push := func(version string) {
				push(t, p.source, "ci/c:v1", registrytest.NewPlatforms(registrytest.OCI, "c"+version, 2000, []string{"amd64", "arm64"}, registrytest.NewLayer("base", 3000)))
			}
			var digests []string
			for _, version := range []string{"1", "2"} {
				push(version)
				s.mirror(t).allAre(t, stream.Copied)
				digests = append(digests, s.load(t).Destinations[0].Digest)
			}
			back := s.ask(t)
			if back.Blocked() {
				t.Fatal(back.Tags[0].Err)
			}
			s.back(t, back).allAre(t, stream.Copied)
			p.wantAt(t, "m/c:v1", digests[0])
			if d, want := s.load(t).Destinations[0], form == "sparse"; d.Rewritten != "" || slices.Equal(d.Platforms, []string{"linux/amd64"}) != want {
				t.Errorf("of the earlier image the record knows the platforms %v, taken from %q", d.Platforms, d.Rewritten)
			}
			s.mirror(t).allAre(t, stream.Held)
			s.back(t, s.ask(t)).allAre(t, stream.Copied)
			p.wantAt(t, "m/c:v1", digests[1])
			s.mirror(t).allAre(t, stream.Current)
			s.back(t, s.ask(t)).allAre(t, stream.Copied)
			push("3")
			s.mirror(t).allAre(t, stream.Copied)
			s.mirror(t).allAre(t, stream.Current)
			if held := s.load(t).Held(); len(held) > 0 {
				t.Errorf("the hold is still %v", held[0].Hold)
			}
		})
	}
}

// mirror mirrors the set, and records that.
func (s recordedSet) mirror(t *testing.T) run {
	t.Helper()
	return s.finish(t, s.plan(t))
}

// plan returns the plan of a run, which knows what is recorded now.
func (s recordedSet) plan(t *testing.T) *stream.Content {
	t.Helper()
	recall := func(ctx context.Context, set string) (*record.Record, error) { return s.load(t), ctx.Err() }
	p, err := plan.Make(t.Context(), plan.Options{Client: client(t, settings()), Recall: recall}, []*imageset.Set{s.set})
	if err != nil {
		t.Fatal(err)
	}
	return &p.Content
}

// finish carries out the plan of a run, and records that.
func (s recordedSet) finish(t *testing.T, p *stream.Content) run {
	t.Helper()
	return s.carry(t, p, func(r *report.Report) error {
		return s.store.Update(t.Context(), s.set.Name, func(old *record.Record) *record.Record {
			return old.Apply(record.Update{Report: r, Whole: true, Now: time.Now()})
		})
	})
}

// carry carries a plan out, and has its results recorded.
func (s recordedSet) carry(t *testing.T, p *stream.Content, keep func(*report.Report) error) run {
	t.Helper()
	results := s.results(t, p)
	b := report.NewBuilder()
	if err := b.Add(results); err != nil {
		t.Fatal(err)
	}
	if err := keep(b.Report().BySet()[s.set.Name]); err != nil {
		t.Fatal(err)
	}
	return run{plan: p, results: resultsOf(t, results)}
}

func (s recordedSet) results(t *testing.T, p *stream.Content) *stream.Content {
	t.Helper()
	work, err := execute.Gather([]*stream.Content{p})
	if err != nil {
		t.Fatal(err)
	}
	display := progress.New(os.Stderr, slog.New(slog.DiscardHandler), 1, 0)
	defer display.Close()
	return work.Run(t.Context(), mirror.Options{Client: client(t, settings()), Observer: display, Grace: time.Second})
}

func (s recordedSet) load(t *testing.T) *record.Record {
	t.Helper()
	r, err := s.store.Load(t.Context(), s.set.Name)
	if err != nil {
		return record.New(s.set.Name)
	}
	return r
}

// ask returns a rollback of all tags, or of some.
func (s recordedSet) ask(t *testing.T, names ...string) *rollback.Rollback {
	t.Helper()
	back, err := rollback.Choose(rollback.Options{Client: client(t, settings()), Set: s.set, Record: s.load(t), Names: names, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	back.Ask(t.Context())
	return back
}

// back moves the tags back.
func (s recordedSet) back(t *testing.T, back *rollback.Rollback) run {
	t.Helper()
	if err := back.Hold(t.Context(), s.store); err != nil {
		t.Fatal(err)
	}
	p := back.Plan()
	results := s.results(t, p)
	if err := back.Keep(t.Context(), s.store, results); err != nil {
		t.Fatal(err)
	}
	return run{plan: p, results: resultsOf(t, results)}
}

// twoMoves mirrors three images, one of them to two tags and one with two platforms, and then other
// ones. It returns the set, and the first digests by destination.
func twoMoves(t *testing.T, p pair) (recordedSet, map[string]string) {
	t.Helper()
	first := map[string]string{}
	push3 := func(version string) {
		base := registrytest.NewLayer("base", 3000)
		digests := map[string]string{}
		for _, name := range []string{"a", "b"} {
			digests[name] = push(t, p.source, "ci/"+name+":v1", registrytest.NewImage(registrytest.OCI, name+version, "amd64", base))
		}
		digests["c"] = push(t, p.source, "ci/c:v1", registrytest.NewPlatforms(registrytest.OCI, "c"+version, 2000, []string{"amd64", "arm64"}, base))
		if version == "1" {
			host := p.destination.Host
			first = map[string]string{
				host + "/m/a:v1": digests["a"], host + "/m/a:latest": digests["a"], host + "/m/b:v1": digests["b"], host + "/m/c:v1": digests["c"],
			}
		}
	}
	s := newRecordedSet(t, p, line(p, "ci/a:v1", "m/a:v1", "m/a:latest"), line(p, "ci/b:v1", "m/b:v1"), line(p, "ci/c:v1", "m/c:v1"))
	push3("1")
	s.mirror(t).allAre(t, stream.Copied)
	push3("2")
	s.mirror(t).allAre(t, stream.Copied)
	return s, first
}

// A rollback costs one HEAD for each tag, one GET for each image and a HEAD for each platform, and
// one PUT for each tag; at the sources one HEAD each. A run then costs HEAD and HEAD, as if the
// tags were current.
func TestRollbackMovesNoBytes(t *testing.T) {
	t.Parallel()
	s, first := twoMoves(t, newPair(t))
	s.reset()
	back := s.ask(t)
	asked := map[string]int{"HEAD manifest": 4 + 2, "GET manifest": 3}
	wantRequests(t, s.source, map[string]int{"HEAD manifest": 3})
	wantRequests(t, s.destination, asked)
	s.reset()
	s.back(t, back).allAre(t, stream.Copied)
	wantRequests(t, s.source, nil)
	wantRequests(t, s.destination, map[string]int{"PUT manifest": 4})
	s.wantDigests(t, first)

	s.reset()
	held := s.mirror(t)
	held.allAre(t, stream.Held)
	wantRequests(t, s.source, map[string]int{"HEAD manifest": 3})
	wantRequests(t, s.destination, map[string]int{"HEAD manifest": 4})
	s.wantDigests(t, first)

	// Again, and all are where they were. Nothing holds them, since their sources have that.
	s.back(t, s.ask(t)).allAre(t, stream.Copied)
	if left := s.load(t).Held(); len(left) > 0 {
		t.Errorf("%d tags are held", len(left))
	}
	s.reset()
	s.mirror(t).allAre(t, stream.Current)
	wantRequests(t, s.source, map[string]int{"HEAD manifest": 3})
	wantRequests(t, s.destination, map[string]int{"HEAD manifest": 4})
}

// Registries move a tag to an image that they have, by its manifest alone.
func TestRollbackAtOtherRegistries(t *testing.T) {
	t.Parallel()
	for kind, begin := range map[string]func() *registrytest.Registry{
		"go-containerregistry": func() *registrytest.Registry { return registrytest.StartInProcess() },
		"ociserver":            registrytest.StartOCIServer,
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			r := begin()
			t.Cleanup(r.Close)
			s, first := twoMoves(t, pair{newRegistry(t, nil), remoteRegistry{registrytest.NewProxy(t, r, registrytest.ProxyOptions{}), r.Host}})
			second := map[string]string{}
			for _, d := range s.load(t).Destinations {
				second[d.Name] = d.Digest
			}
			for _, want := range []map[string]string{first, second} {
				s.reset()
				s.back(t, s.ask(t)).allAre(t, stream.Copied)
				wantRequests(t, s.destination, map[string]int{"HEAD manifest": 4 + 2, "GET manifest": 3, "PUT manifest": 4})
				s.wantDigests(t, want)
			}
		})
	}
}

// wantDigests checks what tags point at.
func (s recordedSet) wantDigests(t *testing.T, want map[string]string) {
	t.Helper()
	for name, digest := range want {
		s.wantAt(t, name[len(s.destination.Host)+1:], digest)
	}
}

// A run that was planned before a rollback may move a tag again. The record has that, the hold
// stays, and the next run fails for the tag, until it is rolled back again or released.
func TestRunUnderWayMovesHeldTag(t *testing.T) {
	t.Parallel()
	s, first := twoMoves(t, newPair(t))
	name := s.destination.Host + "/m/b:v1"
	push(t, s.source, "ci/b:v1", registrytest.NewImage(registrytest.OCI, "b3", "amd64", registrytest.NewLayer("b3", 1000)))
	late := s.plan(t)
	s.back(t, s.ask(t, name)).allAre(t, stream.Copied)
	s.finish(t, late)
	d := s.load(t).Destination(name)
	if d.Hold == nil || d.Hold.Digest != first[name] || d.Digest == first[name] {
		t.Fatalf("the record has %+v", d)
	}
	failed := s.mirror(t).results[name]
	if failed.Status != stream.Failed || failed.Error.Kind != fault.Moved || !strings.Contains(failed.Error.Message, "something else moved it, or a rollback was cut off") {
		t.Errorf("got %+v", failed)
	}
	s.back(t, s.ask(t, name)).allAre(t, stream.Copied)
	s.wantDigests(t, map[string]string{name: first[name]})
	if again := s.mirror(t).results[name]; again.Status != stream.Held {
		t.Errorf("after another rollback it is %+v", again)
	}
}

// A hold is over for each tag by itself, once its source moves.
func TestHeldTagFollowsItsSourceOnceThatMoves(t *testing.T) {
	t.Parallel()
	s, first := twoMoves(t, newPair(t))
	s.back(t, s.ask(t)).allAre(t, stream.Copied)
	push(t, s.source, "ci/b:v1", registrytest.NewImage(registrytest.OCI, "b3", "amd64", registrytest.NewLayer("b3", 1000)))
	host := s.destination.Host
	s.mirror(t).are(t, s.destination, map[string]string{"m/a:v1": stream.Held, "m/a:latest": stream.Held, "m/b:v1": stream.Copied, "m/c:v1": stream.Held})
	delete(first, host+"/m/b:v1")
	s.wantDigests(t, first)
	if d := s.load(t).Destination(host + "/m/b:v1"); d.Hold != nil {
		t.Errorf("the hold is still %v", d.Hold)
	}
	s.mirror(t).are(t, s.destination, map[string]string{"m/a:v1": stream.Held, "m/a:latest": stream.Held, "m/b:v1": stream.Current, "m/c:v1": stream.Held})
}

// A rollback says that an image is not there any more, or only in part, before anything moves.
func TestRollbackToCollectedImages(t *testing.T) {
	t.Parallel()
	s, _ := twoMoves(t, newPair(t))
	for _, c := range []struct{ name, tag, kind, path string }{
		{"an image", "m/a:v1", "GET manifest", "/m/a/manifests/sha256:"},
		{"an index", "m/c:v1", "GET manifest", "/m/c/manifests/sha256:"},
		{"a platform", "m/c:v1", "HEAD manifest", "/m/c/manifests/sha256:"},
	} {
		s.destination.Inject(registrytest.FaultRule{
			Kind: c.kind, Path: regexp.MustCompile(c.path), Fault: registrytest.Status(404, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`),
		})
		back := s.ask(t, s.destination.Host+"/"+c.tag, s.destination.Host+"/m/b:v1")
		s.destination.Heal()
		blocked := back.Tags[slices.IndexFunc(back.Tags, func(tag *rollback.Tag) bool { return tag.Name == s.destination.Host+"/"+c.tag })]
		if !back.Blocked() || blocked.Err == nil || !strings.HasPrefix(blocked.Err.Error(), "the registry has collected ") {
			t.Errorf("%s: got %v", c.name, blocked.Err)
		}
		if plan := back.Plan(); len(plan.Copies) != 1 || plan.Mappings[0].Destination != s.destination.Host+"/m/b:v1" {
			t.Errorf("%s: the plan of the others is %+v", c.name, plan.Mappings)
		}
	}
}
