package registry

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"

	"imagemirror/internal/regerror"
)

// health notices when a registry stops answering, so that thousands of images do not
// each wait for it.
type health struct {
	mu       sync.Mutex
	known    bool      // it has answered at least once
	lost     int       // requests given up without an answer since the last answer
	passed   time.Time // when a request was last let through to a registry that is down
	liveness liveness
}

const (
	lostAtMost = 8               // requests given up before a registry counts as down
	hungAtMost = 256             // before it does even if it answers a probe
	firstTries = 4               // tries if a registry has never answered: its name may be wrong
	probeEvery = 5 * time.Second // between requests to a registry that is down
)

// tries returns how many tries a request gets: all, or fewer if the registry has never
// answered. If it is down, one request every probeEvery gets one try, and the others none.
func (h *health) tries(all int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lost < lostAtMost && !h.known {
		return min(all, firstTries)
	}
	if h.lost < lostAtMost {
		return all
	}
	if time.Since(h.passed) < probeEvery {
		return 0
	}
	h.passed = time.Now()
	return 1
}

// answered notes any answer, even a refusal.
func (h *health) answered() {
	h.mu.Lock()
	h.lost, h.known = 0, true
	h.mu.Unlock()
}

// gaveUp notes a request without an answer to any of its tries. If the registry cut it instead
// of staying silent, it cost little time, and alone never brings lost beyond lostAtMost.
func (h *health) gaveUp(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lost < lostAtMost || errors.Is(err, regerror.ErrStalled) {
		h.lost++
	}
}

// hasHung reports whether so many requests had no answer that an answer to a probe does not count.
func (h *health) hasHung() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lost >= hungAtMost
}

// seemsDown reports whether the last requests had no answer.
func (h *health) seemsDown() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lost >= lostAtMost
}

// triesOf returns how many tries a request gets. A host that seems down may only have failed to
// answer for a few images: others must not fail for that. So probe asks it for something else
// every probeEvery, and as long as it answers that, each request gets one try.
func (h *health) triesOf(ctx context.Context, all int, probe func(context.Context) bool) int {
	tries := h.tries(all)
	if tries == 0 && !h.hasHung() && h.liveness.isAlive(ctx, probe) {
		tries = 1
	}
	return tries
}

// liveness tells whether a host that seems down answered the last probe, a small request.
type liveness struct {
	mu    sync.Mutex // held while somebody probes
	asked time.Time
	alive bool
}

func (l *liveness) isAlive(ctx context.Context, probe func(context.Context) bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.asked) < probeEvery {
		return l.alive
	}
	alive := probe(ctx)
	if ended := context.Cause(ctx); !alive && ended != nil && !errors.Is(ended, regerror.ErrStalled) {
		return false // whoever probed was called off: that says nothing of the host
	}
	l.alive, l.asked = alive, time.Now()
	return alive
}

// probe reports whether the host of a URL that the registry gave answers a request without
// credentials. Like ping, it takes no request slot: all slots may be held by requests that wait for
// a host that is down.
func (h *host) probe(ctx context.Context, u *url.URL) bool {
	client, err := h.lead(u)
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, h.client.config.Stall)
	defer cancel()
	root := url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"}
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, root.String(), nil)
	if err != nil {
		return false
	}
	req.Header.Set("User-Agent", userAgent)
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	discard(resp)
	return true
}

// outsiders is the health of the hosts that a registry leads to, such as its CDN. What
// they fail to answer is not the registry's failure: it answered with the redirect.
type outsiders struct {
	mu sync.Mutex
	by map[string]*health
}

// outsidersAtMost bounds how many hosts a registry can make the program remember.
const outsidersAtMost = 64

// at returns the health of a host.
func (o *outsiders) at(host string) *health {
	o.mu.Lock()
	defer o.mu.Unlock()
	known := o.by[host]
	if known == nil {
		known = &health{}
		if o.by == nil || len(o.by) >= outsidersAtMost {
			o.by = map[string]*health{}
		}
		o.by[host] = known
	}
	return known
}

// mayAsk returns an error for an address on another host that is down.
func (o *outsiders) mayAsk(ctx context.Context, h *host, u *url.URL) error {
	probe := func(ctx context.Context) bool { return h.probe(ctx, u) }
	if h.at(u) || o.at(u.Host).triesOf(ctx, 1, probe) > 0 {
		return nil
	}
	return &regerror.Error{Host: u.Host, Err: regerror.Permanent(regerror.ErrHostDown)}
}

// lost returns the error of a request without an answer, with the host that did not give
// one if it is not the registry.
func (h *host) lost(ctx context.Context, u *url.URL, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if h.at(u) {
		return err
	}
	h.health.answered()
	return &regerror.Error{Host: u.Host, Err: regerror.Plain(ctx, err)}
}

// healthOf returns the health of the host that an error is about.
func (h *host) healthOf(e *regerror.Error) *health {
	var proxy *regerror.ProxyRefusal
	switch {
	case errors.As(e.Err, &proxy):
		return &health{} // a proxy that answers is not down, and hides whether the registry is
	case e.Doing == regerror.GettingToken:
		return &h.tokens
	case e.Host != "":
		return h.elsewhere.at(e.Host)
	}
	return &h.health
}
