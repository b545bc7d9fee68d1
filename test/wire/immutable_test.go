package wire

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"imagemirror/internal/imageset"
	"imagemirror/internal/plan"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// versions returns sets whose tags v* are immutable.
func versions(t *testing.T, lines ...string) []*imageset.Set {
	t.Helper()
	return setWith(t, "immutable: [v*]", lines...)
}

// setWith returns a set with the lines of a mapping file and a key of its settings.
func setWith(t *testing.T, spec string, lines ...string) []*imageset.Set {
	t.Helper()
	return setOf(t, mappingFile(t, lines...), spec)
}

// setOf returns the set of a mapping file, with settings beside that.
func setOf(t *testing.T, file, spec string) []*imageset.Set {
	t.Helper()
	dir := filepath.Dir(file)
	settings := fmt.Sprintf("apiVersion: imagemirror/v1\nkind: Settings\nmetadata: {name: %q}\nspec:\n  %s\n", filepath.Base(dir), spec)
	if err := os.WriteFile(filepath.Join(dir, "settings.yaml"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := imageset.Load([]string{file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return in.Sets
}

func planned(t *testing.T, sets []*imageset.Set) *stream.Content {
	t.Helper()
	p, err := plan.Make(t.Context(), plan.Options{Client: client(t, settings())}, sets)
	if err != nil {
		t.Fatal(err)
	}
	return &p.Content
}

// twoImages pushes an image to ci/a:v1, and returns its digest and another image.
func twoImages(t *testing.T, p pair) (first string, second v1.Image) {
	t.Helper()
	first = push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 1000)))
	return first, registrytest.NewImage(registrytest.OCI, "b", "amd64", registrytest.NewLayer("b", 1000))
}

// wantAt fails the test unless a tag at the destination points at digest.
func (p pair) wantAt(t *testing.T, repositoryAndTag, digest string) {
	t.Helper()
	repository, tag, _ := strings.Cut(repositoryAndTag, ":")
	d, err := client(t, settings()).Destination(t.Context(), parse(t, p.destination.backend+"/"+repository), false)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := d.Head(t.Context(), tag); err != nil || got != digest {
		t.Errorf("%s is at %s (%v), want %s", repositoryAndTag, got, err, digest)
	}
}

// An immutable tag that exists costs one request. It costs none at the source if the source's
// tag has the same name, whatever that points at.
func TestImmutableTagOfTheSameNameCostsOneRequest(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	_, second := twoImages(t, p)
	sets := versions(t, line(p, "ci/a:v1", "m/a"), line(p, "ci/a:v*", "m/b"))
	carry(t, settings(), anonymous{}, planned(t, sets)).allAre(t, stream.Copied)
	push(t, p.source, "ci/a:v1", second)
	p.reset()
	carry(t, settings(), anonymous{}, planned(t, sets[:1])).allAre(t, stream.Current)
	// The list of tags is for the wildcard.
	wantRequests(t, p.source, map[string]int{"GET tags": 1})
	wantRequests(t, p.destination, map[string]int{"HEAD manifest": 2})

	sets = versions(t, line(p, "ci/a:v1", "m/a"))
	p.reset()
	carry(t, settings(), anonymous{}, planned(t, sets)).allAre(t, stream.Current)
	wantRequests(t, p.source, nil)
	wantRequests(t, p.destination, map[string]int{"HEAD manifest": 1})
}

// If the source has another name or a digest, the digest of the immutable tag decides. Other
// tags move as usual.
func TestImmutableTagOfAnotherNameIsCompared(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	first, second := twoImages(t, p)
	push(t, p.source, "ci/a:latest", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 1000)))
	names := line(p, "ci/a:latest", "m/a:v1", "m/a:latest")
	pinned := fmt.Sprintf("%s/ci/a@%s %s/m/b:v1", p.source.Host, first, p.destination.Host)
	carry(t, settings(), anonymous{}, planned(t, versions(t, names, pinned))).allAre(t, stream.Copied)
	p.reset()
	carry(t, settings(), anonymous{}, planned(t, versions(t, names, pinned))).allAre(t, stream.Current)
	wantRequests(t, p.source, map[string]int{"HEAD manifest": 1})
	wantRequests(t, p.destination, map[string]int{"HEAD manifest": 3})

	digest := push(t, p.source, "ci/a:latest", second)
	pinned = fmt.Sprintf("%s/ci/a@%s %s/m/b:v1", p.source.Host, digest, p.destination.Host)
	p.reset()
	run := carry(t, settings(), anonymous{}, planned(t, versions(t, names, pinned)))
	run.are(t, p.destination, map[string]string{"m/a:v1": stream.Failed, "m/a:latest": stream.Copied, "m/b:v1": stream.Failed})
	want := fmt.Sprintf("the tag v1 is immutable and points to %s, but its source is %s: the tag was not moved", first, digest)
	for _, name := range []string{"m/a:v1", "m/b:v1"} {
		if got := run.results[p.destination.Host+"/"+name].Error; got == nil || got.Message != want || got.Advice == "" {
			t.Errorf("%s: got %+v, want %s", name, got, want)
		}
		p.wantAt(t, name, first)
	}
	p.wantAt(t, "m/a:latest", digest)
	wantRequests(t, p.source, map[string]int{"HEAD manifest": 1, "GET manifest": 1, "GET blob": 2, "GET tags": 1, "GET referrers": 1})
}

// A tag that was pushed between split and copy stays too. Copy checks each new immutable tag
// with one request.
func TestImmutableTagPushedAfterThePlanStays(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	first, second := twoImages(t, p)
	content := planned(t, versions(t, line(p, "ci/a:v1", "m/a", "m/b", "m/c", "m/c:latest")))
	other := push(t, p.destination, "m/a:v1", second)
	push(t, p.destination, "m/b:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 1000)))
	p.reset()
	run := carry(t, settings(), anonymous{}, content)
	run.are(t, p.destination, map[string]string{"m/a:v1": stream.Failed, "m/b:v1": stream.Copied, "m/c:v1": stream.Copied, "m/c:latest": stream.Copied})
	want := fmt.Sprintf("the tag v1 is immutable and points at %s, which was pushed after the plan was made", other)
	if got := run.results[p.destination.Host+"/m/a:v1"].Error; got == nil || !strings.HasPrefix(got.Message, want) {
		t.Errorf("got %+v, want %s", got, want)
	}
	p.wantAt(t, "m/a:v1", other)
	p.wantAt(t, "m/b:v1", first)
	p.wantAt(t, "m/c:v1", first)
	if got := p.destination.Stats().Requests; got["HEAD manifest"] != 3 || got["PUT manifest"] != 2 {
		t.Errorf("got the requests %v, want 3 HEAD manifest and 2 PUT manifest", got)
	}
}

// If copy cannot read whether an immutable tag exists, it does not push it.
func TestUnreadableImmutableTagIsNotPushed(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	twoImages(t, p)
	for _, kind := range []string{"HEAD manifest", "GET manifest"} {
		p.destination.Inject(registrytest.FaultRule{Kind: kind, Fault: registrytest.Status(403, "")})
	}
	run := carry(t, settings(), anonymous{}, planned(t, versions(t, line(p, "ci/a:v1", "m/a", "m/b:latest"))))
	run.are(t, p.destination, map[string]string{"m/a:v1": stream.Failed, "m/b:latest": stream.Copied})
	if got := p.destination.Stats().Requests["PUT manifest"]; got != 1 {
		t.Errorf("%d manifests were pushed, want that of latest", got)
	}
}
