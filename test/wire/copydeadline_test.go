package wire

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"imagemirror/internal/execute"
	"imagemirror/internal/mirror"
	"imagemirror/internal/progress"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// A deadline ends once something has been seen and done, however long that takes.
type deadline struct {
	context.Context
	end    context.CancelFunc
	passed chan time.Time
}

// newDeadline returns a deadline, and n functions that have to be called before it ends. Each may
// be called several times. It ends after a minute in any case.
func newDeadline(t *testing.T, n int) (d *deadline, events []func()) {
	t.Helper()
	ctx, end := context.WithTimeout(t.Context(), time.Minute)
	d = &deadline{ctx, end, make(chan time.Time, 1)}
	context.AfterFunc(ctx, func() { d.passed <- time.Now() })
	var left atomic.Int64
	left.Store(int64(n))
	for range n {
		events = append(events, sync.OnceFunc(func() {
			if left.Add(-1) == 0 {
				end()
			}
		}))
	}
	return d, events
}

// since returns how long ago the deadline was, which has ended what there was to do.
func (d *deadline) since() time.Duration {
	d.end()
	return time.Since(<-d.passed)
}

// copyBy copies what a plan names by a deadline, and calls copied when an image has arrived.
func copyBy(t *testing.T, d *deadline, copied func(), p *stream.Content) run {
	t.Helper()
	work, err := execute.Gather([]*stream.Content{p})
	if err != nil {
		t.Fatal(err)
	}
	images, size := work.Work()
	display := progress.New(os.Stderr, slog.New(slog.DiscardHandler), images, size)
	defer display.Close()
	var out bytes.Buffer
	o := mirror.Options{Client: client(t, settings()), Observer: &awaiter{display, 1, copied}, Grace: time.Second, Until: d}
	if err := work.Carry(t.Context(), o, &out); err != nil {
		t.Fatal(err)
	}
	return run{plan: p, results: resultsOf(t, read(t, &out))}
}

// telling returns a fault that calls struck before it strikes.
func telling(struck func(), f registrytest.Fault) registrytest.Fault {
	return func(next http.Handler) http.Handler {
		answer := f(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			struck()
			answer.ServeHTTP(w, r)
		})
	}
}

// What is not there by the deadline fails alone, whatever is slow, and says what it waited for.
func TestCopyDeadlineFailsOnlyWhatIsNotThere(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		side  string
		kind  string
		path  string
		fault registrytest.Fault
		want  string // in the message
	}{
		{"layer drips", "source", "GET blob", "/ci/bad/", drip(), "waited for the blob sha256:"},
		{"layer is not sent", "source", "GET blob", "/ci/bad/", registrytest.Stall(), "waited for the blob sha256:"},
		{"throttled for a minute", "source", "GET blob", "/ci/bad/", registrytest.TooManyRequests("60"), "waited for the blob sha256:"},
		{"upload is not opened", "destination", "POST mount", "/m/bad/", registrytest.Stall(), "waited for the blob sha256:"},
		{"manifest is not accepted", "destination", "PUT manifest", "/m/bad/", registrytest.Stall(), "waited for DESTINATION/m/bad to accept the manifest sha256:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, other := newPair(t), newPair(t)
			push(t, p.source, "ci/bad:v1", registrytest.NewImage(registrytest.OCI, "bad", "amd64", registrytest.NewLayer("bad", 400_000)))
			push(t, other.source, "ci/good:v1", registrytest.NewImage(registrytest.OCI, "good", "amd64", registrytest.NewLayer("good", 400_000)))
			planned := split(t, settings(), line(p, "ci/bad:v1", "m/bad:v1"), line(other, "ci/good:v1", "m/good:v1"))
			other.reset()
			at := map[string]remoteRegistry{"source": p.source, "destination": p.destination}[c.side]
			late, events := newDeadline(t, 2)
			struck, copied := events[0], events[1]
			at.Inject(registrytest.FaultRule{Kind: c.kind, Path: regexp.MustCompile(c.path), Fault: telling(struck, c.fault)})
			got := copyBy(t, late, copied, planned)
			if took := late.since(); took > 30*time.Second {
				t.Errorf("copying took %s more after its deadline", took)
			}
			got.are(t, other.destination, map[string]string{"m/good:v1": stream.Copied})
			e := got.results[p.destination.Host+"/m/bad:v1"].Error
			if e == nil || !strings.Contains(e.Message, strings.ReplaceAll(c.want, "DESTINATION", p.destination.Host)) ||
				!strings.HasSuffix(e.Message, "the time for copying is over (MIRROR_COPY_DEADLINE)") || !strings.Contains(e.Advice, "run again") {
				t.Errorf("the error is %+v, want %q", e, c.want)
			}
			if n := other.source.Stats().Requests["GET blob"]; n != 2 {
				t.Errorf("the good source got %d requests for blobs, want 2", n)
			}
		})
	}
}
