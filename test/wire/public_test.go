package wire

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"imagemirror/internal/execute"
	"imagemirror/internal/fault"
	"imagemirror/internal/mirror"
	"imagemirror/internal/plan"
	"imagemirror/internal/progress"
	"imagemirror/internal/record"
	"imagemirror/internal/registry"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/report"
	"imagemirror/internal/stream"
)

// publisher may do everything at a registry that creates private repositories.
var publisher = registrytest.User{Name: "team", Password: "secret", Pull: []string{""}, Push: []string{""}}

// newPublicPair returns a registry of images, and one that creates private repositories. It answers
// strangers as auth says.
func newPublicPair(t *testing.T, auth registrytest.Auth) pair {
	t.Helper()
	auth.Users = []registrytest.User{publisher}
	p := pair{newRegistry(t, nil), newRegistry(t, &auth)}
	for _, name := range []string{"a", "b"} {
		push(t, p.source, "ci/"+name+":v1", registrytest.NewImage(registrytest.OCI, name, "amd64", registrytest.NewLayer(name, 1000)))
	}
	p.reset()
	return p
}

// publish mirrors lines of a set that has to be public, with credentials for the destination.
func publish(t *testing.T, config registry.Config, lines ...string) run {
	t.Helper()
	return publishAfter(t, config, nil, lines...)
}

// publishAfter does what publish does after the runs of a record.
func publishAfter(t *testing.T, config registry.Config, recall record.Recaller, lines ...string) run {
	t.Helper()
	var out bytes.Buffer
	o := plan.Options{Client: clientAs(t, config, asTeam), Recall: recall}
	p, err := plan.Make(t.Context(), o, setWith(t, "public: true", lines...))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Write(&out, &p.Content); err != nil {
		t.Fatal(err)
	}
	return carry(t, config, asTeam, read(t, &out))
}

// strangers returns the requests of a journal that are a stranger's, and fails the test if one of
// them has anything that could tell who sent it. Those of the publisher have its name.
func strangers(t *testing.T, r remoteRegistry) (heads, tokens int) {
	t.Helper()
	for _, q := range r.Log() {
		switch {
		case q.Kind == "token" && q.Scheme == "":
			tokens++
		case q.Kind != "HEAD manifest" || q.User != "" || q.Scheme == "Basic":
			continue
		default:
			heads++
		}
		if q.Header.Get("Cookie") != "" || q.Scheme != "" && q.Scheme != "Bearer" || strings.Contains(q.Query, "account") {
			t.Errorf("%s %s?%s of a stranger has %q %v", q.Method, q.Path, q.Query, q.Scheme, q.Header)
		}
	}
	return heads, tokens
}

// wantPrivate checks that an image arrived and is said to be private.
func wantPrivate(t *testing.T, p pair, r run, name, digest string) {
	t.Helper()
	got := r.results[p.destination.Host+"/"+name]
	want := fmt.Sprintf("published, not public: make %s/%s public", p.destination.Host, strings.TrimSuffix(name, ":v1"))
	switch {
	case got.Status != stream.Failed || got.Error.Kind != fault.Private || got.Error.Side != "destination" || got.Error.Message != want:
		t.Errorf("%s is %s: %+v, want %q", name, got.Status, got.Error, want)
	case got.Digest != digest || got.Public == nil || got.Public.Answer != stream.No:
		t.Errorf("%s has the digest %s and strangers get %+v", name, got.Digest, got.Public)
	}
}

func TestFirstPushesThatArePrivate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		auth registrytest.Auth
		// What a stranger costs: for the first private repository of a registry, for a public one.
		heads, tokens int
	}{
		{"tokens that allow nothing, and say so", registrytest.Auth{JWT: true}, 3, 2},
		{"tokens that allow nothing", registrytest.Auth{}, 3, 2},
		{"no token for strangers: 403", registrytest.Auth{Strict: http.StatusForbidden}, 1, 1},
		{"no token for strangers: 401", registrytest.Auth{Strict: http.StatusUnauthorized}, 1, 1},
		{"no token for strangers: 400", registrytest.Auth{Strict: http.StatusBadRequest}, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPublicPair(t, c.auth)
			lines := []string{line(p, "ci/a:v1", "m/a:v1")}
			first := publish(t, settings(), lines...)
			digest := first.plan.Copies[0].Digest
			wantPrivate(t, p, first, "m/a:v1", digest)
			wantArrived(t, p, "ci/a:v1", "m/a:v1")
			// Split and copy each sent a HEAD that is challenged, before they had credentials to send.
			heads, tokens := strangers(t, p.destination)
			if got := [2]int{heads - 1, tokens}; got != [2]int{c.heads, c.tokens} {
				t.Errorf("a private image cost %d HEAD and %d tokens, want %d and %d", got[0], got[1], c.heads, c.tokens)
			}
			p.reset()
			wantPrivate(t, p, publish(t, settings(), lines...), "m/a:v1", digest)
			p.destination.MakePublic("m/a")
			p.reset()
			again := publish(t, settings(), lines...)
			again.allAre(t, stream.Current)
			if got := again.results[p.destination.Host+"/m/a:v1"].Public; got == nil || got.Answer != stream.Yes {
				t.Errorf("strangers get %+v", got)
			}
			// The challenge of a registry comes once, the token with each repository.
			wantRequests(t, p.destination, map[string]int{"HEAD manifest": 2 + 2, "token": 1 + 1})
		})
	}
}

// afterPlan strikes the requests for manifests that follow the one of split: those of strangers.
func afterPlan(f registrytest.Fault) []registrytest.FaultRule {
	return []registrytest.FaultRule{{Kind: "HEAD manifest", After: 1, Fault: f}, {Kind: "GET manifest", Fault: f}}
}

// Registries hide an image from strangers with one of three statuses.
func TestStrangersAreRefused(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			p := newPublicPair(t, registrytest.Auth{})
			p.destination.MakePublic("m/a")
			p.destination.Inject(afterPlan(registrytest.Status(status, `{"errors":[{"code":"DENIED"}]}`, "Content-Type", "application/json"))...)
			r := publish(t, settings(), line(p, "ci/a:v1", "m/a:v1"))
			wantPrivate(t, p, r, "m/a:v1", r.plan.Copies[0].Digest)
		})
	}
}

// What is not known is no failure: the image is where it should be, and the next run asks again.
func TestStrangersAreNotAnswered(t *testing.T) {
	t.Parallel()
	page := registrytest.Status(http.StatusForbidden, "<html><title>Blocked</title></html>", "Content-Type", "text/html")
	for _, c := range []struct {
		name  string
		fault registrytest.Fault
		says  string
		heads int // with those that are repeated
	}{
		{"a rate limit", registrytest.TooManyRequests("0"), "429", 2},
		{"a rate limit for a minute", registrytest.TooManyRequests("60"), "429", 1},
		{"a broken registry", registrytest.Status(http.StatusBadGateway, ""), "502", 1},
		{"cut connections", registrytest.Disconnect(), "the connection was cut", 2}, // net/http sends it once more
		{"a firewall", page, "a web page", 1},
		{"another status", registrytest.Status(http.StatusTeapot, ""), "418", 1},
		{"another digest", registrytest.SetHeader("Docker-Content-Digest", "sha256:"+strings.Repeat("ab", 32)), "strangers get sha256:abab", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPublicPair(t, registrytest.Auth{})
			p.destination.MakePublic("m/a")
			p.destination.Inject(afterPlan(c.fault)...)
			config := settings()
			config.Retries = 2
			r := publish(t, config, line(p, "ci/a:v1", "m/a:v1"))
			r.allAre(t, stream.Copied)
			got := r.results[p.destination.Host+"/m/a:v1"].Public
			if got == nil || got.Answer != stream.Unknown || !strings.Contains(got.Error.Message, c.says) {
				t.Errorf("strangers get %+v, want %q", got, c.says)
			}
			if heads, _ := strangers(t, p.destination); heads != c.heads+2 {
				t.Errorf("%d HEAD, want %d and two that were challenged", heads, c.heads)
			}
		})
	}
}

// Once a registry has left some images unknown, it is not asked for the others.
func TestStrangersGiveUp(t *testing.T) {
	t.Parallel()
	p := newPublicPair(t, registrytest.Auth{})
	var lines []string
	for i := range 20 {
		name := fmt.Sprintf("m/a%d", i)
		p.destination.MakePublic(name)
		lines = append(lines, line(p, "ci/a:v1", name+":v1"))
	}
	publish(t, settings(), lines...).allAre(t, stream.Copied)
	p.reset()
	config := settings()
	config.Concurrency, config.Retries = 1, 1
	broken := registrytest.Status(http.StatusBadGateway, "")
	p.destination.Inject(registrytest.FaultRule{Kind: "HEAD manifest", After: 20, Fault: broken}, registrytest.FaultRule{Kind: "GET manifest", Fault: broken})
	r := publish(t, config, lines...)
	r.allAre(t, stream.Current)
	for name, got := range r.results {
		if got.Public == nil || got.Public.Answer != stream.Unknown || !strings.Contains(got.Public.Error.Message, "502") {
			t.Errorf("%s: strangers get %+v", name, got.Public)
		}
	}
	if heads, tokens := strangers(t, p.destination); heads != 2+3 || tokens != 3 {
		t.Errorf("%d HEAD and %d tokens, want two that are challenged and three", heads, tokens)
	}
}

// A run of images that move and images that are current costs, at the destination, one HEAD for
// each image, one token for each repository, and one request for each registry's challenge, in
// split for those that are current and in copy for the others.
func TestPublicCostsTheLeast(t *testing.T) {
	t.Parallel()
	p := newPublicPair(t, registrytest.Auth{})
	p.destination.MakePublic("m/a")
	p.destination.MakePublic("m/b")
	lines := []string{line(p, "ci/a:v1", "m/a:v1", "m/a:v1.0", "m/a:v1.0.0")}
	publish(t, settings(), lines...).allAre(t, stream.Copied)
	p.reset()
	mixed := append(lines, line(p, "ci/b:v1", "m/b:v1", "m/b:v2"))
	r := publish(t, settings(), mixed...)
	r.are(t, p.destination, map[string]string{"m/a:v1": stream.Current, "m/b:v1": stream.Copied})
	for name, got := range r.results {
		if got.Public == nil || got.Public.Answer != stream.Yes {
			t.Errorf("%s: strangers get %+v", name, got.Public)
		}
	}
	// Split and copy each meet the challenge with and without credentials, but copy begins with a
	// push. Each has its token, and a stranger's in either.
	if heads, tokens := strangers(t, p.destination); heads != 1+(1+3)+(1+2) || tokens != 2 {
		t.Errorf("strangers sent %d HEAD and asked for %d tokens", heads, tokens)
	}
	p.reset()
	mirrorAs(t, settings(), asTeam, mixed...).allAre(t, stream.Current)
	if heads, tokens := strangers(t, p.destination); heads != 1 || tokens != 0 {
		t.Errorf("a set that need not be public costs %d HEAD and %d tokens", heads-1, tokens)
	}
}

// A stranger is redirected like anybody, and has nothing to hide there either.
func TestStrangersAreRedirected(t *testing.T) {
	t.Parallel()
	p := newPublicPair(t, registrytest.Auth{})
	p.destination.MakePublic("m/a")
	elsewhere := remoteRegistry{registrytest.StartProxy(p.destination.backend, registrytest.ProxyOptions{}), p.destination.backend}
	t.Cleanup(elsewhere.Close)
	p.destination.Inject(registrytest.FaultRule{Kind: "HEAD manifest", After: 1, Fault: registrytest.Redirect("http://" + elsewhere.Host)})
	r := publish(t, settings(), line(p, "ci/a:v1", "m/a:v1"))
	r.allAre(t, stream.Copied)
	if got := r.results[p.destination.Host+"/m/a:v1"].Public; got == nil || got.Answer != stream.Yes {
		t.Errorf("strangers get %+v", got)
	}
	for _, q := range elsewhere.Log() {
		if q.Scheme != "" || q.Header.Get("Cookie") != "" {
			t.Errorf("%s %s has %q %v", q.Method, q.Path, q.Scheme, q.Header)
		}
	}
	if len(elsewhere.Log()) != 1 {
		t.Errorf("%d requests were redirected, want 1", len(elsewhere.Log()))
	}
}

// A registry that is slow with strangers delays neither other images nor the end of a run that was
// told to stop, or that has a deadline.
func TestSlowStrangersAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		says      string
		interrupt bool
	}{
		{"a deadline", "MIRROR_COPY_DEADLINE", false},
		{"an interrupt", "interrupted", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPublicPair(t, registrytest.Auth{})
			p.destination.MakePublic("m/a")
			made, err := plan.Make(t.Context(), plan.Options{Client: clientAs(t, settings(), asTeam)}, setWith(t, "public: true", line(p, "ci/a:v1", "m/a:v1"), line(p, "ci/b:v1", "m/b:v1")))
			if err != nil {
				t.Fatal(err)
			}
			late, events := newDeadline(t, 1)
			p.destination.Inject(registrytest.FaultRule{Kind: "HEAD manifest", Fault: telling(events[0], registrytest.Stall())})
			work, err := execute.Gather([]*stream.Content{&made.Content})
			if err != nil {
				t.Fatal(err)
			}
			display := progress.New(os.Stderr, slog.New(slog.DiscardHandler), 2, 0)
			defer display.Close()
			ctx := t.Context()
			o := mirror.Options{Client: clientAs(t, settings(), asTeam), Observer: display, Grace: 100 * time.Millisecond}
			if c.interrupt {
				ctx = late
			} else {
				o.Until = late
			}
			for name, got := range resultsOf(t, work.Run(ctx, o)) {
				if strings.Contains(name, "m/b") {
					continue // it is private, which takes no HEAD that the fault strikes
				}
				if got.Status != stream.Copied || got.Public == nil || got.Public.Answer != stream.Unknown || !strings.Contains(got.Public.Error.Message, c.says) {
					t.Errorf("%s is %s: %+v, and strangers get %+v", name, got.Status, got.Error, got.Public)
				}
			}
			// A stranger's request would stand still for 15 seconds.
			if took := late.since(); took >= 15*time.Second {
				t.Errorf("the run took %s more", took)
			}
		})
	}
}

// What strangers can pull is asked for again after a day, and at once if the tag has another digest
// or was private.
func TestPublicIsAskedOnceADay(t *testing.T) {
	t.Parallel()
	p := newPublicPair(t, registrytest.Auth{})
	lines := []string{line(p, "ci/a:v1", "m/a:v1"), line(p, "ci/b:v1", "m/b:v1")}
	kept := record.New("set")
	recall := func(context.Context, string) (*record.Record, error) { return kept, nil }
	again := func(after time.Duration, a, b string, heads int) {
		t.Helper()
		for _, d := range kept.Destinations {
			if !d.Public.IsZero() {
				d.Public = d.Public.Add(-after)
			}
		}
		p.reset()
		r := publishAfter(t, settings(), recall, lines...)
		r.are(t, p.destination, map[string]string{"m/a:v1": a, "m/b:v1": b})
		if got, _ := strangers(t, p.destination); got != heads {
			t.Errorf("after %s: %d HEAD, want %d", after, got, heads)
		}
		kept = kept.Apply(record.Update{Report: reported(t, r), Whole: true, Now: time.Now()})
		for _, d := range kept.Destinations {
			if got := r.results[d.Name].Digest; d.Digest != got || d.Since.IsZero() {
				t.Errorf("the record of %s has the digest %s since %s, want %s", d.Name, d.Digest, d.Since, got)
			}
		}
	}
	p.destination.MakePublic("m/a")
	again(0, stream.Copied, stream.Failed, 1+1+1+2)      // split's own is challenged, and so is copy's first
	again(time.Hour, stream.Current, stream.Failed, 1+3) // only b, which was private
	p.destination.MakePublic("m/b")
	again(time.Hour, stream.Current, stream.Current, 1+2)
	again(21*time.Hour, stream.Current, stream.Current, 1)
	again(2*time.Hour, stream.Current, stream.Current, 1+2) // only a: 24 hours and a moment
	again(0, stream.Current, stream.Current, 1)
	push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a2", "amd64", registrytest.NewLayer("a2", 1000)))
	again(0, stream.Copied, stream.Current, 1+2)
	again(-48*time.Hour, stream.Current, stream.Current, 1+3) // a clock that was ahead
}

// reported returns the report of a run.
func reported(t *testing.T, r run) *report.Report {
	t.Helper()
	b := report.NewBuilder()
	results := &stream.Content{Header: r.plan.Header, Sets: r.plan.Sets, Mappings: r.plan.Mappings, End: &stream.End{Ended: time.Now().UTC()}}
	results.Header.Stream = stream.Results
	for _, m := range r.plan.Mappings {
		results.Results = append(results.Results, r.results[m.Destination])
	}
	for _, c := range []*stream.Content{r.plan, results} {
		if err := b.Add(c); err != nil {
			t.Fatal(err)
		}
	}
	return b.Report()
}
