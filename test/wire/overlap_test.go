package wire

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sync/atomic"
	"testing"

	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// await holds the requests of a rule back until the gate is closed. A test ends with an error if
// that does not happen.
func await(gate chan struct{}, t *testing.T) registrytest.Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-gate:
			case <-r.Context().Done():
				t.Errorf("nothing else was asked while %s %s waited", r.Method, r.URL.Path)
			}
			next.ServeHTTP(w, r)
		})
	}
}

// open closes the gate, so that requests pass.
func open(gate chan struct{}) registrytest.Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(gate)
			next.ServeHTTP(w, r)
		})
	}
}

// The source's registry issues its token while the destination has not answered yet.
func TestSourceAuthenticatesWhileDestinationIsAsked(t *testing.T) {
	t.Parallel()
	p := newPrivatePair(t)
	w := newWorkload(t, p, 3)
	gate := make(chan struct{})
	p.source.Inject(registrytest.FaultRule{Kind: "token", Times: 1, Fault: open(gate)})
	p.destination.Inject(registrytest.FaultRule{Kind: "token", Times: 1, Fault: await(gate, t)})
	config := settings()
	config.Retries = 1
	plan := split(t, config, w.lines...)
	if len(plan.Copies) != 3 {
		t.Errorf("%d copies are planned, want 3", len(plan.Copies))
	}
}

// Requests that wait for their token leave the slots to those that have theirs. The second token
// comes once all requests with the first were sent, which are more than there are slots.
func TestRequestsWaitForTokensWithoutSlots(t *testing.T) {
	t.Parallel()
	p := newPrivatePair(t)
	w := newWorkload(t, p, 45)
	gate := make(chan struct{})
	var left atomic.Int64 // requests with the first token that were not sent yet
	p.destination.Inject(
		registrytest.FaultRule{Kind: "token", Times: 1, Match: func(r *http.Request) bool {
			left.CompareAndSwap(0, int64(len(r.URL.Query()["scope"])))
			return false
		}},
		registrytest.FaultRule{Kind: "token", After: 1, Times: 1, Fault: await(gate, t)},
		registrytest.FaultRule{Kind: "HEAD manifest", Match: func(*http.Request) bool {
			return left.Add(-1) == 0 // a rule sees what was let in
		}, Fault: open(gate)},
	)
	config := settings()
	config.Retries, config.Concurrency = 1, 4
	plan := split(t, config, w.lines...)
	if len(plan.Copies) != 45 {
		t.Errorf("%d copies are planned, want 45", len(plan.Copies))
	}
}

// Destinations are asked whether they accept pushes while sources still send manifests.
func TestPreflightDoesNotWaitForManifests(t *testing.T) {
	t.Parallel()
	p := newPrivatePair(t)
	w := newWorkload(t, p, 3)
	gate := make(chan struct{})
	pushToken := regexp.MustCompile("pull%2Cpush")
	p.destination.Inject(registrytest.FaultRule{Kind: "token", Path: pushToken, Times: 1, Fault: open(gate)})
	p.source.Inject(registrytest.FaultRule{Kind: "GET manifest", Fault: await(gate, t)})
	config := settings()
	config.Retries = 1
	plan := split(t, config, w.lines...)
	if len(plan.Copies) != 3 {
		t.Errorf("%d copies are planned, want 3", len(plan.Copies))
	}
}

// A registry that is greeted with the first HEAD sees no more requests than without: it refuses
// that request anyway, or its answer counts. Only an open registry that was expected to demand a
// token has one HEAD too many, once a run, if its first image has to be read.
func TestGreetingsCostNoRequest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		source  *registrytest.Auth
		secure  bool           // the source speaks TLS
		private bool           // the destination demands tokens
		cold    map[string]int // nil if either may come first: the greeting, or the first manifest
		quiet   map[string]int
	}{
		{"open", nil, false, false, map[string]int{"GET manifest": 6, "GET tags": 3, "GET referrers": 1}, map[string]int{"HEAD manifest": 3}},
		{"open, with TLS", nil, true, false, map[string]int{"GET manifest": 6, "GET tags": 3, "GET referrers": 1, "HEAD manifest": 1}, map[string]int{"HEAD manifest": 3}},
		{"open, to a private one", nil, false, true, nil, map[string]int{"HEAD manifest": 3}},
		{"private", &registrytest.Auth{}, false, true, map[string]int{"GET manifest": 6, "GET tags": 3, "GET referrers": 1, "HEAD manifest": 1, "token": 1}, map[string]int{"HEAD manifest": 4, "token": 1}},
		{"private, with TLS", &registrytest.Auth{}, true, false, map[string]int{"GET manifest": 6, "GET tags": 3, "GET referrers": 1, "HEAD manifest": 1, "token": 1}, map[string]int{"HEAD manifest": 4, "token": 1}},
		{"private, to an open one", &registrytest.Auth{}, false, false, map[string]int{"GET manifest": 7, "GET tags": 3, "GET referrers": 1, "token": 1}, map[string]int{"HEAD manifest": 4, "token": 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var private *registrytest.Auth
			if c.private {
				private = &registrytest.Auth{}
			}
			backend := registrytest.Distribution(t, registrytest.DistributionOptions{})
			proxy := registrytest.NewProxy(t, backend, registrytest.ProxyOptions{TLS: c.secure, Auth: c.source})
			p := pair{remoteRegistry{proxy, backend.Host}, newRegistry(t, private)}
			config := settings()
			if c.secure {
				config.RegistriesConf = filepath.Join(t.TempDir(), "registries.conf")
				conf := fmt.Sprintf("[[registry]]\nlocation = %q\ninsecure = true\n", proxy.Host)
				if err := os.WriteFile(config.RegistriesConf, []byte(conf), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var lines []string
			for _, name := range []string{"a", "b", "c"} {
				index := registrytest.NewIndex(registrytest.OCI, registrytest.NewImage(registrytest.OCI, name, "amd64"))
				push(t, p.source, fmt.Sprintf("ci/%s:v1", name), index)
				lines = append(lines, line(p, "ci/"+name+":v1", "m/"+name+":v1"))
			}
			p.reset()
			split(t, config, lines...)
			if c.cold != nil {
				wantRequests(t, p.source, c.cold)
			}
			mirrorWith(t, config, lines...).allAre(t, stream.Copied)
			p.reset()
			split(t, config, lines...)
			wantRequests(t, p.source, c.quiet)
		})
	}
}
