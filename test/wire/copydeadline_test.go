package wire

import (
	"bytes"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"imagemirror/internal/execute"
	"imagemirror/internal/mirror"
	"imagemirror/internal/progress"
	"imagemirror/internal/registry"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// copyWithin copies what a plan names, with a deadline.
func copyWithin(t *testing.T, deadline time.Duration, config registry.Config, p *stream.Content) run {
	t.Helper()
	work, err := execute.Gather([]*stream.Content{p})
	if err != nil {
		t.Fatal(err)
	}
	images, size := work.Work()
	display := progress.New(os.Stderr, slog.New(slog.DiscardHandler), images, size)
	defer display.Close()
	var out bytes.Buffer
	o := mirror.Options{Client: client(t, config), Observer: display, Grace: time.Second, Until: time.Now().Add(deadline)}
	if err := work.Carry(t.Context(), o, &out); err != nil {
		t.Fatal(err)
	}
	return run{plan: p, results: resultsOf(t, read(t, &out))}
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
			at.Inject(registrytest.FaultRule{Kind: c.kind, Path: regexp.MustCompile(c.path), Fault: c.fault})
			began := time.Now()
			got := copyWithin(t, time.Second, settings(), planned)
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("copying took %s", took)
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
