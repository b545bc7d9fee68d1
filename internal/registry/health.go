package registry

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"

	"imagemirror/internal/regerror"
)

// health notices when a host stops answering, so that thousands of images do not each wait for it.
type health struct {
	mu       sync.Mutex
	known    bool      // it has answered at least once
	lost     int       // requests given up without an answer since the last answer
	passed   time.Time // when a request was last let through to a host that is down
	liveness liveness
	silence  silence
}

const (
	lostAtMost = 8               // requests given up before a registry counts as down
	hungAtMost = 256             // before it does even if it answers a probe; also minutes of waiting
	firstTries = 4               // tries if a registry has never answered: its name may be wrong
	probeEvery = 5 * time.Second // between requests to a registry that is down
)

// tries returns how many tries a request gets: all, or fewer if the registry has never
// answered. If it is down, one request every probeEvery gets one try, and the others none.
func (h *health) tries(all int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.seemsDownLocked() && !h.known {
		return min(all, firstTries)
	}
	if !h.seemsDownLocked() {
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
	return h.lost >= hungAtMost || h.silence.waited >= hungAtMost*waitedAtMost
}

// seemsDown reports whether the last requests had no answer.
func (h *health) seemsDown() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.seemsDownLocked()
}

func (h *health) seemsDownLocked() bool { return h.lost >= lostAtMost || h.silence.found }

// triesOf returns how many tries a request gets. A host that seems down may only have failed to
// answer for a few images: others must not fail for that. So probe asks it for something else
// every probeEvery, and as long as it answers that, each request gets one try. One that was found
// silent is up again then.
func (h *health) triesOf(ctx context.Context, all int, probe probe) int {
	h.suspect(ctx, probe)
	tries := h.tries(all)
	if tries > 0 || h.hasHung() {
		return tries
	}
	silent := h.isSilent()
	switch {
	case !h.liveness.isAlive(ctx, probe, !silent):
		return 0
	case silent:
		h.heard()
	}
	return max(1, h.tries(all))
}

// whyDown returns the error of a request that is not sent since the registry is down.
func (h *health) whyDown() error {
	if h.isSilent() {
		return errSilent
	}
	return regerror.ErrDown
}

// isDown reports whether a request was not sent since a host is down.
func isDown(err error) bool {
	return errors.Is(err, regerror.ErrDown) || errors.Is(err, regerror.ErrHostDown) || errors.Is(err, regerror.ErrTokensDown)
}

// A probe reports whether a host answers a small request.
type probe func(context.Context) bool

// liveness tells whether a host that seems down answered the last probe.
type liveness struct {
	mu    sync.Mutex
	asked time.Time
	alive bool
	under chan struct{} // closed when the current probe ends; nil without one
}

// isAlive reports what is known of a host, after a probe if that is old. If somebody else probes,
// it waits for that or reports false.
func (l *liveness) isAlive(ctx context.Context, probe probe, wait bool) bool {
	for {
		l.mu.Lock()
		alive, under := l.alive, l.under
		switch {
		case time.Since(l.asked) < probeEvery:
			l.mu.Unlock()
			return alive
		case under == nil:
			l.under = make(chan struct{})
			l.mu.Unlock()
			return l.ask(ctx, probe)
		}
		l.mu.Unlock()
		if !wait {
			return false
		}
		select {
		case <-under:
		case <-ctx.Done():
			return false
		}
	}
}

func (l *liveness) ask(ctx context.Context, probe probe) bool {
	alive := probe(ctx)
	ended := context.Cause(ctx) // of who was called off while it probed: that says nothing of the host
	if alive || ended == nil || errors.Is(ended, regerror.ErrStalled) {
		l.note(alive)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.under)
	l.under = nil
	return alive
}

// note notes whether a probe was answered.
func (l *liveness) note(alive bool) {
	l.mu.Lock()
	l.alive, l.asked = alive, time.Now()
	l.mu.Unlock()
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
	return &regerror.Error{Host: u.Host, Err: cmp.Or(context.Cause(ctx), errHostSilent)}
}

// lost returns the error of a request without an answer, with the host that did not give
// one if it is not the registry.
func (h *host) lost(ctx context.Context, u *url.URL, began time.Time, err error) error {
	h.healthAt(u).unheard(ctx, began, began, err)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if h.at(u) {
		return err
	}
	h.health.answered()
	return &regerror.Error{Host: u.Host, Err: regerror.Plain(ctx, err)}
}

// healthAt returns the health of the host of an address.
func (h *host) healthAt(u *url.URL) *health {
	if h.at(u) {
		return &h.health
	}
	return h.elsewhere.at(u.Host)
}

// downAt returns the error of a request to an address whose host is silent.
func (h *host) downAt(u *url.URL) error {
	if h.at(u) {
		return errSilent
	}
	return errHostSilent
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
