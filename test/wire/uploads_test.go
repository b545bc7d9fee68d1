package wire

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// A registry may answer before it has read a blob. Then nothing else reads the blob, its
// download has its slot back, and the next attempt starts as if nothing had happened.
func TestEarlyAnswersDoNotDisturbUploads(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusUnauthorized, http.StatusRequestEntityTooLarge, http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			p := newPairOnDisk(t)
			var lines []string
			for _, name := range []string{"a", "b", "c"} {
				push(t, p.source, "ci/"+name+":v1", registrytest.NewImage(registrytest.OCI, name, "amd64", registrytest.NewLayer(name, 20_000_000)))
				lines = append(lines, line(p, "ci/"+name+":v1", "m/"+name+":v1"))
			}
			p.destination.Inject(registrytest.FaultRule{Kind: "PUT upload", Match: bodyOver(1_000_000), Times: 4, Fault: registrytest.Status(status, "not so")})
			config := settings()
			config.Concurrency = 2
			mirrorWith(t, config, lines...).allAre(t, stream.Copied)
			for _, name := range []string{"a", "b", "c"} {
				wantArrived(t, p, "ci/"+name+":v1", "m/"+name+":v1")
			}
		})
	}
}

// Nothing reads from a stalled source either after its upload was refused.
func TestRefusedUploadReleasesAStalledSource(t *testing.T) {
	t.Parallel()
	timed(t, func(factor int) error {
		p := newPairOnDisk(t)
		push(t, p.source, "ci/a:v1", largeImage())
		p.source.Inject(registrytest.FaultRule{Kind: "GET blob", Match: onlyLarge(p.source, "GET blob"), Times: 2, Fault: registrytest.StallAfter(1000)})
		p.destination.Inject(registrytest.FaultRule{Kind: "PUT upload", Match: bodyOver(1_000_000), Times: 2, Fault: registrytest.Status(http.StatusServiceUnavailable, "busy")})
		return copyImpatiently(t, factor, p)
	})
}

// copyImpatiently copies ci/a:v1, and transfers may stand still for a second times a factor. It
// returns an error if the image did not arrive.
func copyImpatiently(t *testing.T, factor int, p pair) error {
	t.Helper()
	config := settings()
	config.Stall = seconds(factor)
	got := mirrorWith(t, config, line(p, "ci/a:v1", "m/a:v1"))
	if err := got.differ(p.destination, map[string]string{"m/a:v1": stream.Copied}); err != nil {
		return err
	}
	wantArrived(t, p, "ci/a:v1", "m/a:v1")
	return nil
}

// A blob that a registry refuses for good is not sent to it again.
func TestRefusedUploadsAreNotRepeated(t *testing.T) {
	t.Parallel()
	for _, status := range []int{
		http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusConflict, http.StatusRequestEntityTooLarge,
		http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity, http.StatusInsufficientStorage,
	} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 300_000)))
			p.destination.Inject(registrytest.FaultRule{Kind: "PUT upload", Match: bodyOver(200_000), Fault: afterAll(registrytest.Status(status, "never"))})
			mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Failed)
			if sent := p.destination.Stats().BlobUp; sent > 2*300_000 {
				t.Errorf("%d bytes were sent of a blob of 300,000 that was refused", sent)
			}
		})
	}
}

// A registry hashes the chunks when the last request completes the upload. That may take longer
// than other answers.
func TestSlowCommitOfAChunkedUploadIsWaitedFor(t *testing.T) {
	t.Parallel()
	timed(t, func(factor int) error {
		p := newPairOnDisk(t)
		push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 20_000_000)))
		p.destination.Inject(
			registrytest.FaultRule{Kind: "PUT upload", Match: bodyOver(19_000_000), Fault: registrytest.Status(http.StatusRequestEntityTooLarge, "too large")},
			registrytest.FaultRule{Kind: "PUT upload", Match: func(r *http.Request) bool { return r.ContentLength == 0 }, Fault: registrytest.Delay(2 * seconds(factor))},
		)
		config := settings()
		config.Stall, config.Retries = seconds(factor), 2
		return mirrorWith(t, config, line(p, "ci/a:v1", "m/a:v1")).differ(p.destination, map[string]string{"m/a:v1": stream.Copied})
	})
}

// A blob for several registries is read once for those that accept it whole, and again for the
// one that wants chunks.
func TestOneOfSeveralRegistriesWantsChunks(t *testing.T) {
	t.Parallel()
	p := newPairOnDisk(t)
	whole := newPairOnDisk(t).destination
	var lines []string
	for _, name := range []string{"a", "b"} {
		push(t, p.source, "ci/"+name+":v1", registrytest.NewImage(registrytest.OCI, name, "amd64", registrytest.NewLayer(name, 20_000_000)))
		lines = append(lines, line(p, "ci/"+name+":v1", "m/"+name+":v1")+fmt.Sprintf(" %s/m/%s:v1", whole.Host, name))
	}
	p.destination.Inject(registrytest.FaultRule{Kind: "PUT upload", Match: bodyOver(19_000_000), Fault: registrytest.Status(http.StatusRequestEntityTooLarge, "too large")})
	config := settings()
	config.Concurrency = 1
	mirrorWith(t, config, lines...).allAre(t, stream.Copied)
	wantArrived(t, p, "ci/a:v1", "m/a:v1")
	wantArrived(t, pair{p.source, whole}, "ci/b:v1", "m/b:v1")
}

// An upload that breaks off at one of several registries is resumed, as with a single registry.
func TestBrokenUploadToOneOfSeveralIsResumed(t *testing.T) {
	t.Parallel()
	p, other := newPairOnDisk(t), newPairOnDisk(t).destination
	push(t, p.source, "ci/a:v1", largeImage())
	p.destination.Inject(registrytest.FaultRule{Kind: "PUT upload", Match: bodyOver(1_000_000), Times: 1, Fault: breakUpload(9_000_000)})
	mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")+fmt.Sprintf(" %s/m/a:v1", other.Host)).allAre(t, stream.Copied)
	wantArrived(t, p, "ci/a:v1", "m/a:v1")
	wantArrived(t, pair{p.source, other}, "ci/a:v1", "m/a:v1")
	for side, n := range map[string]int64{"read at the source": p.source.Stats().BlobDown, "sent to the registry that broke off": p.destination.Stats().BlobUp} {
		if n > large+large/2 {
			t.Errorf("%d bytes were %s for a blob of %d: it was begun anew", n, side, large)
		}
	}
}

// A registry that keeps refusing with a status that may be chance is not sent a blob over and over.
func TestUploadThatNeverSucceedsIsGivenUp(t *testing.T) {
	t.Parallel()
	p := newPairOnDisk(t)
	push(t, p.source, "ci/a:v1", largeImage())
	p.destination.Inject(registrytest.FaultRule{Kind: "PUT upload", Match: bodyOver(1_000_000), Fault: afterAll(registrytest.Status(http.StatusBadRequest, "too large for us"))})
	config := settings()
	config.Retries = 10
	got := mirrorWith(t, config, line(p, "ci/a:v1", "m/a:v1")).results[p.destination.Host+"/m/a:v1"]
	if got.Status != stream.Failed || got.Error.Status != http.StatusBadRequest || !strings.Contains(got.Error.Message, "after 3 attempts") {
		t.Errorf("m/a is %s: %+v", got.Status, got.Error)
	}
	if n := p.source.Stats().BlobDown; n > 3*large+large/2 {
		t.Errorf("%d bytes were read for a blob of %d", n, large)
	}
}
