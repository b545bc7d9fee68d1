package wire

import (
	"fmt"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// A workload is images in repositories of their own, which share a base layer. Every third one
// is an index of two platforms.
type workload struct {
	lines []string
	names []string // REPOSITORY:TAG, the same at the source and, below mirror/, at the destination

	manifests, blobs, places int // distinct manifests and blobs, and blobs counted in each repository that wants them
}

func newWorkload(t *testing.T, p pair, images int) workload {
	t.Helper()
	var w workload
	base := registrytest.NewLayer("base", 300_000)
	w.blobs = 1
	for i := range images {
		name := fmt.Sprintf("ci/image-%d:v1", i)
		var what remote.Taggable
		if i%3 == 2 {
			what = registrytest.NewPlatforms(registrytest.OCI, name, 2000, []string{"amd64", "arm64"}, base)
			w.manifests, w.blobs, w.places = w.manifests+3, w.blobs+4, w.places+5
		} else {
			what = registrytest.NewImage(registrytest.OCI, name, "amd64", base, registrytest.NewLayer(name, 2000))
			w.manifests, w.blobs, w.places = w.manifests+1, w.blobs+2, w.places+3
		}
		push(t, p.source, name, what)
		w.names = append(w.names, name)
		w.lines = append(w.lines, line(p, name, "mirror/"+name))
	}
	return w
}

func TestColdRunIsTheLowerBound(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	w := newWorkload(t, p, 9)
	run := mirrorLines(t, w.lines...)
	run.allAre(t, stream.Copied)
	wantRequests(t, p.source, map[string]int{"GET manifest": w.manifests, "GET blob": w.blobs, "GET tags": len(w.names), "GET referrers": 1})
	// Every blob begins with a mount. If the registry does not have the blob, the mount opens
	// an upload.
	wantRequests(t, p.destination, map[string]int{
		"HEAD manifest": len(w.names), "POST mount": w.places, "PUT upload": w.blobs, "PUT manifest": w.manifests,
	})
	for place, n := range p.source.Stats().Fetched {
		if n != 1 {
			t.Errorf("the blob %s was read %d times", place.Digest, n)
		}
	}
	for _, name := range w.names {
		wantArrived(t, p, name, "mirror/"+name)
	}
}

func TestSecondRunWritesNothing(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	w := newWorkload(t, p, 6)
	mirrorLines(t, w.lines...).allAre(t, stream.Copied)
	p.reset()
	mirrorLines(t, w.lines...).allAre(t, stream.Current)
	for _, r := range []remoteRegistry{p.source, p.destination} {
		wantRequests(t, r, map[string]int{"HEAD manifest": len(w.names)})
	}
}

func TestMovedTagMovesOneImage(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	w := newWorkload(t, p, 4)
	mirrorLines(t, w.lines...).allAre(t, stream.Copied)
	base, top := registrytest.NewLayer("base", 300_000), registrytest.NewLayer("new top", 1000)
	digest := push(t, p.source, "ci/image-0:v1", registrytest.NewImage(registrytest.OCI, "moved", "amd64", base, top))
	p.reset()
	run := mirrorLines(t, w.lines...)
	if got := run.results[p.destination.Host+"/mirror/ci/image-0:v1"]; got.Status != stream.Copied || got.Digest != digest {
		t.Errorf("the image that moved is %s at %s, want copied at %s", got.Status, got.Digest, digest)
	}
	wantRequests(t, p.source, map[string]int{"HEAD manifest": 4, "GET manifest": 1, "GET blob": 2, "GET tags": 1, "GET referrers": 1})
	// The mount that opens an upload finds the base layer in the same repository.
	wantRequests(t, p.destination, map[string]int{"HEAD manifest": 4, "POST mount": 3, "PUT upload": 2, "PUT manifest": 1})
	wantArrived(t, p, "ci/image-0:v1", "mirror/ci/image-0:v1")
}

func TestSeveralTagsCostOneUpload(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.Docker, "a", "amd64", registrytest.NewLayer("a", 1000)))
	mirrorLines(t, line(p, "ci/a:v1", "m/a:v1", "m/a:v1.0", "m/a:latest", "m/b:v1")).allAre(t, stream.Copied)
	wantRequests(t, p.source, map[string]int{"GET manifest": 1, "GET blob": 2, "GET tags": 1, "GET referrers": 1})
	wantRequests(t, p.destination, map[string]int{"HEAD manifest": 4, "POST mount": 4, "PUT upload": 2, "PUT manifest": 4})
}

// An image that has a tag and is part of an index in one repository is pushed once.
func TestChildWithATagIsPushedOnce(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	child := registrytest.NewImage(registrytest.OCI, "child", "amd64", registrytest.NewLayer("child", 1000))
	push(t, p.source, "ci/a:child", child)
	push(t, p.source, "ci/a:index", registrytest.NewIndex(registrytest.OCI, child))
	mirrorLines(t, line(p, "ci/a:child", "m/a:child"), line(p, "ci/a:index", "m/a:index")).allAre(t, stream.Copied)
	wantRequests(t, p.destination, map[string]int{"HEAD manifest": 2, "POST mount": 2, "PUT upload": 2, "PUT manifest": 2})
	wantArrived(t, p, "ci/a:index", "m/a:index")
}

func TestDigestSourceIsNotAskedForAgain(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	digest := push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 1000)))
	source := p.source.Host + "/ci/a@" + digest
	lines := []string{source + " " + p.destination.Host + "/m/a:v1", source + " " + p.destination.Host + "/m/b"}
	mirrorLines(t, lines...).allAre(t, stream.Copied)
	p.reset()
	mirrorLines(t, lines...).allAre(t, stream.Current)
	wantRequests(t, p.source, nil)
	wantRequests(t, p.destination, map[string]int{"HEAD manifest": 2})
}

func TestSourceIsReadOnceForSeveralRegistries(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	second := newRegistry(t, nil)
	image := registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("large", 3_000_000), registrytest.NewLayer("small", 1000))
	push(t, p.source, "ci/a:v1", image)
	l := line(p, "ci/a:v1", "m/a:v1", "m/b:v1", "m/c:v1")
	for _, d := range []string{"m/x:v1", "m/y:v1"} {
		l += " " + second.Host + "/" + d
	}
	mirrorLines(t, l).allAre(t, stream.Copied)
	wantRequests(t, p.source, map[string]int{"GET manifest": 1, "GET blob": 3, "GET tags": 1, "GET referrers": 1})
	wantRequests(t, p.destination, map[string]int{"HEAD manifest": 3, "POST mount": 9, "PUT upload": 3, "PUT manifest": 3})
	wantRequests(t, second, map[string]int{"HEAD manifest": 2, "POST mount": 6, "PUT upload": 3, "PUT manifest": 2})
	wantArrived(t, p, "ci/a:v1", "m/c:v1")
	wantArrived(t, pair{p.source, second}, "ci/a:v1", "m/y:v1")
}

// Blobs of a sibling tag are mounted, although this run did not copy them.
func TestBlobsOfACurrentSiblingAreMounted(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 1000)))
	mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
	p.reset()
	mirrorLines(t, line(p, "ci/a:v1", "m/a:v1", "m/b:v1"))
	wantRequests(t, p.source, map[string]int{"GET manifest": 1, "GET tags": 1, "GET referrers": 1})
	wantRequests(t, p.destination, map[string]int{"HEAD manifest": 2, "POST mount": 2, "PUT manifest": 1})
	wantArrived(t, p, "ci/a:v1", "m/b:v1")
}

func TestRegistryThatIsSourceAndDestinationMounts(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	p := pair{r, r}
	push(t, r, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 500_000)))
	mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
	wantRequests(t, r, map[string]int{"HEAD manifest": 1, "GET manifest": 1, "POST mount": 2, "PUT manifest": 1, "GET tags": 1, "GET referrers": 1})
	wantArrived(t, p, "ci/a:v1", "m/a:v1")
}
