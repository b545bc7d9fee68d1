package wire

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// layered pushes an image with a layer that is too large to be read into memory, so it is streamed.
func layered(t *testing.T, r remoteRegistry, name, layer string) {
	t.Helper()
	push(t, r, name, registrytest.NewImage(registrytest.OCI, name, "amd64", registrytest.NewLayer(layer, 1_500_000)))
}

func TestFaultsOfStreamedBlobsAreTheSources(t *testing.T) {
	t.Parallel()
	denied := registrytest.Status(http.StatusForbidden, "not any more")
	for _, c := range []struct {
		name  string
		rules func(p pair) []registrytest.FaultRule
		gets  int // of blobs
	}{
		{"corrupt", func(p pair) []registrytest.FaultRule {
			return []registrytest.FaultRule{{Kind: "GET blob", Match: onlyLarge(p.source, "GET blob"), Fault: registrytest.Corrupt(100)}}
		}, 1 + 3},
		{"cut, and then denied", func(p pair) []registrytest.FaultRule {
			return []registrytest.FaultRule{
				{Kind: "GET blob", Match: onlyLarge(p.source, "GET blob"), Times: 1, Fault: registrytest.CutAfter(200_000)},
				{Kind: "GET blob", Match: onlyLarge(p.source, "GET blob"), Fault: denied},
			}
		}, 1 + 3}, // the rest is asked for, and once more the whole
	} {
		for _, registries := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s, %d destinations", c.name, registries), func(t *testing.T) {
				t.Parallel()
				p := newPairOnDisk(t)
				layered(t, p.source, "ci/a:v1", "a")
				p.source.Inject(c.rules(p)...)
				l := line(p, "ci/a:v1", "m/a:v1", "m/b:v1", "m/c:v1")
				if registries == 2 {
					l += fmt.Sprintf(" %s/m/a:v1", newRegistry(t, nil).Host)
				}
				config := settings()
				config.Retries = 3
				for name, got := range mirrorWith(t, config, l).results {
					if got.Status != stream.Failed || got.Error.Side != "source" || !strings.Contains(got.Error.Message, p.source.Host+"/ci/a") {
						t.Errorf("%s is %s: %+v", name, got.Status, got.Error)
					}
				}
				// The configuration is read once, and the layer as often as it may be tried,
				// but not as often for each repository.
				if n := p.source.Stats().Requests["GET blob"]; n > c.gets*registries {
					t.Errorf("%d blobs were asked for, want at most %d", n, c.gets*registries)
				}
			})
		}
	}
}

// If several repositories have a blob, one that sends wrong content stops no image.
func TestBadSourceIsReplacedByAnother(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]registrytest.Fault{"corrupt": registrytest.Corrupt(100), "cut": registrytest.CutAfter(200_000)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, other := newPairOnDisk(t), newPairOnDisk(t).source
			layered(t, p.source, "ci/a:v1", "shared")
			layered(t, other, "ci/b:v1", "shared")
			p.source.Inject(registrytest.FaultRule{Kind: "GET blob", Match: onlyLarge(p.source, "GET blob"), Fault: fault})
			run := mirrorLines(t, line(p, "ci/a:v1", "m/a:v1"), fmt.Sprintf("%s/ci/b:v1 %s/m/b:v1", other.Host, p.destination.Host))
			run.allAre(t, stream.Copied)
			wantArrived(t, p, "ci/a:v1", "m/a:v1")
		})
	}
}

// Each image's error names its own repository, although the blob was asked for in others too.
func TestErrorsNameTheImagesOwnRepository(t *testing.T) {
	t.Parallel()
	p := newPairOnDisk(t)
	layered(t, p.source, "ci/a:v1", "shared")
	layered(t, p.source, "ci/b:v1", "shared")
	p.source.Inject(
		registrytest.FaultRule{Kind: "GET blob", Path: regexp.MustCompile("/ci/a/"), Fault: registrytest.Status(http.StatusNotFound, "gone")},
		registrytest.FaultRule{Kind: "GET blob", Path: regexp.MustCompile("/ci/b/"), Fault: registrytest.Status(http.StatusForbidden, "team b only")},
	)
	run := mirrorLines(t, line(p, "ci/a:v1", "m/a:v1"), line(p, "ci/b:v1", "m/b:v1"))
	for name, status := range map[string]int{"a": http.StatusNotFound, "b": http.StatusForbidden} {
		got := run.results[p.destination.Host+"/m/"+name+":v1"]
		if got.Status != stream.Failed || got.Error.Status != status || !strings.Contains(got.Error.Message, "ci/"+name) {
			t.Errorf("m/%s is %s: %+v", name, got.Status, got.Error)
		}
	}
}

// A child that a repository does not serve is not asked for again for each index.
func TestMissingChildIsAskedForOnce(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	child := registrytest.NewImage(registrytest.OCI, "child", "amd64", registrytest.NewLayer("child", 1000))
	digest, err := registrytest.DigestOf(child)
	if err != nil {
		t.Fatal(err)
	}
	const indexes = 12
	var lines []string
	for i := range indexes {
		own := registrytest.NewImage(registrytest.OCI, fmt.Sprint("own", i), "arm64")
		push(t, p.source, fmt.Sprintf("ci/a:v%d", i), registrytest.NewIndex(registrytest.OCI, child, own))
		lines = append(lines, line(p, fmt.Sprintf("ci/a:v%d", i), fmt.Sprintf("m/a:v%d", i)))
	}
	p.source.Inject(registrytest.FaultRule{Path: regexp.MustCompile("/manifests/" + digest), Fault: registrytest.Status(http.StatusInternalServerError, "broken")})
	config := settings()
	config.Retries = 3
	mirrorWith(t, config, lines...).allAre(t, stream.Failed)
	if n := p.source.Stats().Requests["GET manifest"]; n > indexes+indexes+config.Retries {
		t.Errorf("%d manifests were asked for, want one for each index and its own child, and %d for the other", n, config.Retries)
	}
}

// A repository sends wrong content and breaks off, and the rest comes from another. The blob is
// then read again, as a whole.
func TestBlobFromABadAndAGoodSourceArrives(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	layered(t, p.source, "ci/a:v1", "shared")
	layered(t, p.source, "ci/b:v1", "shared")
	p.source.Inject(registrytest.FaultRule{Path: regexp.MustCompile("/ci/b/"), Match: onlyLarge(p.source, "GET blob"), Fault: func(next http.Handler) http.Handler {
		return registrytest.CutAfter(300_000)(registrytest.Corrupt(100)(next))
	}})
	mirrorLines(t, line(p, "ci/b:v1", "m/b:v1"), line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
	wantArrived(t, p, "ci/a:v1", "m/a:v1")
}

// Another image's registry stops serving a shared blob while the image's own is busy. The download
// waits for a slot at the own registry.
func TestBusySourceIsWaitedFor(t *testing.T) {
	t.Parallel()
	p, other := newPair(t), newRegistry(t, nil)
	own := registrytest.NewLayer("own", 400_000)
	layered(t, other, "ci/a:v1", "shared")
	layered(t, p.source, "ci/b:v1", "shared")
	push(t, p.source, "ci/c:v1", registrytest.NewImage(registrytest.OCI, "c", "amd64", own))
	large := onlyLarge(other, "GET blob")
	other.Inject(
		registrytest.FaultRule{Kind: "GET blob", Match: large, Times: 1, Fault: func(next http.Handler) http.Handler {
			return registrytest.Delay(700 * time.Millisecond)(registrytest.CutAfter(500_000)(next))
		}},
		registrytest.FaultRule{Kind: "GET blob", Match: large, Fault: registrytest.Status(http.StatusNotFound, "")},
	)
	p.source.Inject(registrytest.FaultRule{Path: regexp.MustCompile("/blobs/" + own.Digest.String()), Fault: registrytest.Delay(3 * time.Second)})
	config := settings()
	config.Concurrency = 2
	run := mirrorWith(t, config, line(p, "ci/c:v1", "m/c:v1"), fmt.Sprintf("%s/ci/a:v1 %s/m/a:v1", other.Host, p.destination.Host), line(p, "ci/b:v1", "m/b:v1"))
	if got := run.results[p.destination.Host+"/m/b:v1"]; got.Status != stream.Copied {
		t.Errorf("m/b is %s: %+v", got.Status, got.Error)
	}
}
