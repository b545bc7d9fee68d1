package registrytest

import (
	"fmt"
	"net/http"
	"sync"
)

// A PullMeter counts pulls as Docker Hub does: each GET of a manifest is one, a HEAD is none. Both
// say how many are left. A pull beyond them is answered with 429.
type PullMeter struct {
	mu     sync.Mutex
	left   int
	window int // seconds
}

// NewPullMeter returns a meter that allows so many pulls within a window of some seconds.
func NewPullMeter(pulls, window int) *PullMeter { return &PullMeter{left: pulls, window: window} }

// Left returns how many pulls are left.
func (m *PullMeter) Left() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.left
}

// Rule returns the rule that meters a registry.
func (m *PullMeter) Rule() FaultRule {
	return FaultRule{Name: "metered pulls", Match: func(r *http.Request) bool {
		kind := operationOf(r).kind
		return kind == "GET manifest" || kind == "HEAD manifest"
	}, Fault: m.meter}
}

func (m *PullMeter) meter(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		spent := r.Method == http.MethodGet && m.left == 0
		if r.Method == http.MethodGet && !spent {
			m.left--
		}
		w.Header().Set("RateLimit-Limit", fmt.Sprintf("100;w=%d", m.window))
		w.Header().Set("RateLimit-Remaining", fmt.Sprintf("%d;w=%d", m.left, m.window))
		m.mu.Unlock()
		if spent {
			errorAnswer(http.StatusTooManyRequests, "TOOMANYREQUESTS", "You have reached your pull rate limit.").ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}
