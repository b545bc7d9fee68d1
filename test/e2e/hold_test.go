//go:build e2e

package e2e

import (
	"net/http"
	"regexp"
	"sync"
	"sync/atomic"

	"imagemirror/internal/registrytest"
)

// A held is a group of requests that wait until release is called.
type held struct {
	waiting  atomic.Int32 // requests that wait, or have waited
	released chan struct{}
	once     sync.Once
}

// hold makes the requests to a registry that match a rule wait.
func (s *space) hold(p *registrytest.Proxy, rule registrytest.FaultRule) *held {
	h := &held{released: make(chan struct{})}
	rule.Name, rule.Fault = "hold", func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.waiting.Add(1)
			select {
			case <-h.released:
				next.ServeHTTP(w, r)
			case <-r.Context().Done():
			}
		})
	}
	p.Inject(rule)
	s.t.Cleanup(h.release)
	return h
}

// holdTags makes the requests wait that would move tags of the destination below a path, after some
// have passed.
func (s *space) holdTags(path string, after int) *held {
	below := regexp.MustCompile("/v2/" + path + "/")
	return s.hold(s.destination, registrytest.FaultRule{Kind: "PUT manifest", Path: below, After: after})
}

// release lets the requests pass, now and later.
func (h *held) release() { h.once.Do(func() { close(h.released) }) }

// awaitHeld waits until n requests have been held.
func (s *space) awaitHeld(h *held, n int) {
	s.t.Helper()
	s.until("requests to be held", func() bool { return int(h.waiting.Load()) >= n })
}
