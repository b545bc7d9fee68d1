package wire

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"imagemirror/internal/imageset"
	"imagemirror/internal/plan"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// splitWithin plans with a deadline, which is far below the time of a stall.
func splitWithin(t *testing.T, deadline time.Duration, lines ...string) *plan.Plan {
	t.Helper()
	input, err := imageset.Load([]string{mappingFile(t, lines...)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	config := settings()
	config.Stall = time.Minute
	began := time.Now()
	p, err := plan.Make(t.Context(), plan.Options{Client: client(t, config), Limits: plan.Limits{Deadline: deadline}}, input.Sets)
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("the plan took %s", took)
	}
	return p
}

// What has no answer by the deadline fails alone, whatever is slow, and says what it waited for.
func TestDeadlineFailsOnlyWhatHasNoAnswer(t *testing.T) {
	t.Parallel()
	words := func(next http.Handler) http.Handler {
		return drip()(registrytest.Status(http.StatusNotFound, strings.Repeat("no ", 1000))(next))
	}
	const bad = "/ci/bad/"
	for _, c := range []struct {
		name   string
		source string // of the mapping that fails
		side   string
		kind   string
		path   string
		fault  registrytest.Fault
		want   string // in the message
	}{
		{"manifest drips", "ci/bad:v1", "source", "GET manifest", bad, registrytest.Drip(100 * time.Millisecond), "waited 1s for SOURCE, and all registries have 1s"},
		{"words of 404 drip", "ci/bad:v1", "source", "GET manifest", bad, words, "HTTP 404 Not Found: \"no no"},
		{"no answer", "ci/bad:v1", "source", "GET manifest", bad, registrytest.Stall(), "waited 1s for SOURCE"},
		{"throttled for a minute", "ci/bad:v1", "source", "GET manifest", bad, registrytest.TooManyRequests("60"), "HTTP 429 Too Many Requests: \"slow down\": waited 0s for SOURCE"},
		{"destination", "ci/bad:v1", "destination", "HEAD manifest", "/m/bad/", registrytest.Stall(), "waited 1s for DESTINATION"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, other := newPair(t), newPair(t)
			push(t, p.source, "ci/bad:v1", registrytest.NewImage(registrytest.OCI, "bad", "amd64", registrytest.NewLayer("bad", 1000)))
			push(t, other.source, "ci/good:v1", registrytest.NewImage(registrytest.OCI, "good", "amd64", registrytest.NewLayer("good", 1000)))
			at := map[string]remoteRegistry{"source": p.source, "destination": p.destination}[c.side]
			at.Inject(registrytest.FaultRule{Kind: c.kind, Path: regexp.MustCompile(c.path), Fault: c.fault})
			to := "m/bad:v1"
			if strings.HasSuffix(c.source, "*") {
				to = "m/bad"
			}
			got := splitWithin(t, time.Second, line(p, c.source, to), line(other, "ci/good:v1", "m/good:v1"))
			if len(got.Copies) != 1 || len(got.Results) != 1 || got.Results[0].Status != stream.Failed {
				t.Fatalf("the plan has %d copies and the results %+v, want one failure alone", len(got.Copies), got.Results)
			}
			e := got.Results[0].Error
			want := strings.NewReplacer("SOURCE", p.source.Host, "DESTINATION", p.destination.Host).Replace(c.want)
			if !strings.Contains(e.Message, want) || e.Side != c.side || e.Status == 0 && !strings.Contains(e.Advice, at.Host) {
				t.Errorf("the error is %+v, want %q at the %s", e, want, c.side)
			}
		})
	}
}
