package wire

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"imagemirror/internal/imageset"
	"imagemirror/internal/plan"
	"imagemirror/internal/registry"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// splitWithin plans with a deadline. An answer is late after a third of it, and a stall takes
// twice as long.
func splitWithin(t *testing.T, deadline time.Duration, lines ...string) *plan.Plan {
	t.Helper()
	return splitWithinAs(t, deadline, anonymous{}, lines...)
}

func splitWithinAs(t *testing.T, deadline time.Duration, keys registry.CredentialSource, lines ...string) *plan.Plan {
	t.Helper()
	input, err := imageset.Load([]string{mappingFile(t, lines...)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	config := settings()
	config.Stall = 2 * deadline // of which a sixth makes a slow batch
	began := time.Now()
	p, err := plan.Make(t.Context(), plan.Options{Client: clientAs(t, config, keys), Limits: plan.Limits{Deadline: deadline}}, input.Sets)
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 30*deadline {
		t.Errorf("the plan took %s", took)
	}
	return p
}

// seconds returns a second times a factor: a deadline that good registries keep.
func seconds(factor int) time.Duration { return time.Duration(factor) * time.Second }

// slowDrip returns a fault that does not end within a deadline of as many seconds.
func slowDrip(factor int) registrytest.Fault { return registrytest.Drip(seconds(factor) / 10) }

// What has no answer by the deadline fails alone, whatever is slow, and says what it waited for.
func TestDeadlineFailsOnlyWhatHasNoAnswer(t *testing.T) {
	t.Parallel()
	words := func(factor int) registrytest.Fault {
		return func(next http.Handler) http.Handler {
			return dripTimes(factor)(registrytest.Status(http.StatusNotFound, strings.Repeat("no ", 1000))(next))
		}
	}
	stall := func(int) registrytest.Fault { return registrytest.Stall() }
	throttled := func(int) registrytest.Fault { return registrytest.TooManyRequests("60") }
	for _, c := range []lateAnswer{
		{"manifest drips", "ci/bad:v1", "source", "GET manifest", slowDrip, `waited \d+s for SOURCE, and planning has DEADLINE in all`},
		{"words of 404 drip", "ci/bad:v1", "source", "GET manifest", words, `HTTP 404 Not Found: "no no`},
		{"no answer", "ci/bad:v1", "source", "GET manifest", stall, `waited \d+s for SOURCE`},
		{"list of tags drips", "ci/bad:v*", "source", "GET tags", slowDrip, `listing tags of SOURCE/ci/bad at the source: waited \d+s for SOURCE`},
		{"list of tags is not answered", "ci/bad:v*", "source", "GET tags", stall, `waited \d+s for SOURCE`},
		{"throttled for a minute", "ci/bad:v1", "source", "GET manifest", throttled, `HTTP 429 Too Many Requests: "slow down": SOURCE asks to wait 1m0s, and planning has DEADLINE in all`},
		{"destination", "ci/bad:v1", "destination", "HEAD manifest", stall, `waited \d+s for DESTINATION`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			timed(t, func(factor int) error { return c.try(t, factor) })
		})
	}
}

// A lateAnswer is one that a registry does not give by the deadline.
type lateAnswer struct {
	name   string
	source string // of the mapping that fails
	side   string
	kind   string
	fault  func(factor int) registrytest.Fault
	want   string // regular expression for the message
}

// try plans a mapping without an answer beside a good one. It returns what is wrong with the plan.
func (c lateAnswer) try(t *testing.T, factor int) error {
	t.Helper()
	p, other := newPair(t), newPair(t)
	push(t, p.source, "ci/bad:v1", registrytest.NewImage(registrytest.OCI, "bad", "amd64", registrytest.NewLayer("bad", 1000)))
	push(t, other.source, "ci/good:v1", registrytest.NewImage(registrytest.OCI, "good", "amd64", registrytest.NewLayer("good", 1000)))
	at := map[string]remoteRegistry{"source": p.source, "destination": p.destination}[c.side]
	at.Inject(registrytest.FaultRule{Kind: c.kind, Path: regexp.MustCompile("/bad/"), Fault: c.fault(factor)})
	to := "m/bad:v1"
	if strings.HasSuffix(c.source, "*") {
		to = "m/bad"
	}
	got := splitWithin(t, seconds(factor), line(p, c.source, to), line(other, "ci/good:v1", "m/good:v1"))
	if len(got.Copies) != 1 || len(got.Results) != 1 || got.Results[0].Status != stream.Failed {
		return fmt.Errorf("the plan has %d copies and the results %+v, want one failure alone", len(got.Copies), got.Results)
	}
	e := got.Results[0].Error
	want := strings.NewReplacer("SOURCE", p.source.Host, "DESTINATION", p.destination.Host, "DEADLINE", seconds(factor).String()).Replace(c.want)
	if !regexp.MustCompile(want).MatchString(e.Message) || e.Side != c.side || e.Status == 0 && !strings.Contains(e.Advice, at.Host) {
		return fmt.Errorf("the error is %+v, want %q at the %s", e, want, c.side)
	}
	return nil
}

// A destination that does not answer holds up no other destination of its source.
func TestSlowDestinationHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	p, other := newPair(t), newRegistry(t, nil)
	digest := push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64"))
	p.destination.Inject(registrytest.FaultRule{Kind: "HEAD manifest", Fault: registrytest.Stall()})
	for _, source := range []string{"ci/a:v1", "ci/a@" + digest} {
		timed(t, func(factor int) error {
			got := splitWithin(t, seconds(factor), line(p, source, "m/a:v1")+" "+other.Host+"/m/a:v1")
			if len(got.Copies) != 1 || got.Copies[0].ID != 2 || len(got.Results) != 1 || got.Results[0].Status != stream.Failed {
				return fmt.Errorf("%s: the plan has the copies %+v and the results %+v, want the second to be copied", source, got.Copies, got.Results)
			}
			return nil
		})
	}
}

// A source that does not answer holds up the preflight of its own destination only.
func TestSlowSourceHoldsUpNoOtherPreflight(t *testing.T) {
	t.Parallel()
	slow := newPair(t)
	p := pair{newRegistry(t, nil), newRegistry(t, &registrytest.Auth{JWT: true, Users: []registrytest.User{team}})}
	lines := append(preflightLines(t, p, 1, 1), line(slow, "ci/a:v1", "m/a:v1"))
	slow.source.Inject(registrytest.FaultRule{Kind: "HEAD manifest", Fault: registrytest.Stall()})
	push(t, slow.destination, "m/a:v1", registrytest.NewImage(registrytest.OCI, "old", "amd64"))
	timed(t, func(factor int) error {
		got := splitWithinAs(t, seconds(factor), asTeam, lines...)
		if len(got.Copies) != 1 || len(got.Results) != 2 || !strings.Contains(got.Results[0].Error.Message, "checking push access") {
			return fmt.Errorf("the plan has the copies %+v and the results %+v, want the closed repository to be refused", got.Copies, got.Results)
		}
		return nil
	})
}

// A manifest that one repository does not send is asked of the next that has it.
func TestSlowManifestIsReadElsewhere(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(factor int) registrytest.Fault{
		"drips":        slowDrip,
		"stands still": func(int) registrytest.Fault { return registrytest.StallAfter(10) },
		"is not sent":  func(int) registrytest.Fault { return registrytest.Stall() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timed(t, func(factor int) error { return readElsewhere(t, factor, fault(factor)) })
		})
	}
}

// readElsewhere plans two images with a child that one of their registries does not send. It
// returns what is wrong with the plan.
func readElsewhere(t *testing.T, factor int, fault registrytest.Fault) error {
	t.Helper()
	p, other := newPair(t), newPair(t)
	child := registrytest.NewImage(registrytest.OCI, "child", "amd64", registrytest.NewLayer("child", 1000))
	digest, err := registrytest.DigestOf(child)
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range []remoteRegistry{p.source, other.source} {
		push(t, source, "ci/a:v1", registrytest.NewIndex(registrytest.OCI, child))
	}
	// The other image comes to the child when it is being read.
	asked := make(chan struct{})
	p.source.Inject(registrytest.FaultRule{Path: regexp.MustCompile("/manifests/" + digest), Fault: telling(sync.OnceFunc(func() { close(asked) }), fault)})
	other.source.Inject(registrytest.FaultRule{Path: regexp.MustCompile("/manifests/v1"), Fault: heldUntil(asked)})
	got := splitWithin(t, seconds(factor), line(p, "ci/a:v1", "m/a:v1"), line(other, "ci/a:v1", "m/a:v1"))
	if !slices.ContainsFunc(got.Copies, func(c stream.Copy) bool { return c.ID == 2 }) {
		return fmt.Errorf("the plan has the copies %+v and the results %+v, want the second to be copied", got.Copies, got.Results)
	}
	return nil
}

// heldUntil returns a fault that lets the registry answer once a channel is closed. Unlike with
// await, a request may end before.
func heldUntil(closed <-chan struct{}) registrytest.Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-closed:
				next.ServeHTTP(w, r)
			case <-r.Context().Done():
			}
		})
	}
}

// A list of tags that comes late is planned as if it had come in time, and meanwhile the others
// are asked.
func TestLateListHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	timed(t, func(factor int) error { return askWhileListing(t, 3*seconds(factor)) })
}

// askWhileListing plans a list that comes after the others were asked. It returns what is wrong
// with the plan.
func askWhileListing(t *testing.T, deadline time.Duration) error {
	t.Helper()
	p, other := newPair(t), newPair(t)
	for _, tag := range []string{"v1", "v2", "v3"} {
		push(t, p.source, "ci/a:"+tag, registrytest.NewImage(registrytest.OCI, tag, "amd64"))
	}
	push(t, other.source, "ci/b:v1", registrytest.NewImage(registrytest.OCI, "b", "amd64"))
	asked := make(chan struct{})
	other.destination.Inject(registrytest.FaultRule{Kind: "HEAD manifest", Times: 1, Fault: func(next http.Handler) http.Handler {
		close(asked)
		return next
	}})
	p.source.Inject(registrytest.FaultRule{Kind: "GET tags", Fault: heldUntil(asked)})
	// v2 has another source too, so both fail: the later mapping is being asked about by then.
	got := splitWithin(t, deadline, line(p, "ci/a:v*", "m/a"), line(other, "ci/b:v1", "m/b:v1"), other.source.Host+"/ci/b:v1 "+p.destination.Host+"/m/a:v2")
	var copied, failed []string
	for i, m := range got.Mappings {
		if m.ID != i+1 {
			return fmt.Errorf("the mapping at %d has the ID %d", i, m.ID)
		}
	}
	for _, c := range got.Copies {
		copied = append(copied, got.Mappings[c.ID-1].Destination)
	}
	for _, r := range got.Results {
		failed = append(failed, got.Mappings[r.ID-1].Destination+" "+r.Error.Message)
	}
	want := []string{p.destination.Host + "/m/a:v1", p.destination.Host + "/m/a:v3", other.destination.Host + "/m/b:v1"}
	if !slices.Equal(copied, want) || len(failed) != 2 || !strings.Contains(failed[0], "/m/a:v2 ") || !strings.Contains(failed[1], "to the same destination") {
		return fmt.Errorf("copied %q, failed %q; want %q, and both of m/a:v2 to fail", copied, failed, want)
	}
	return nil
}
