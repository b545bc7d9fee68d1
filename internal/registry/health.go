package registry

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"time"

	"imagemirror/internal/regerror"
)

// health notices when a registry stops answering, so that thousands of images do not
// each wait for it.
type health struct {
	mu     sync.Mutex
	known  bool      // it has answered at least once
	lost   int       // requests given up without an answer since the last answer
	probed time.Time // when a request was last let through to a registry that is down
}

const (
	lostAtMost = 8               // requests given up before a registry counts as down
	hungAtMost = 256             // before it does although it answers /v2/
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
	if time.Since(h.probed) < probeEvery {
		return 0
	}
	h.probed = time.Now()
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

// hasHung reports whether so many requests had no answer that one to /v2/ does not count.
func (h *health) hasHung() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lost >= hungAtMost
}

// A pulse is what /v2/ last showed of a registry that seems down.
type pulse struct {
	turn  chan struct{} // has an entry while somebody asks, or reads the fields below
	asked time.Time
	beats bool
}

func newPulse() pulse { return pulse{turn: make(chan struct{}, 1)} }

// triesOf returns how many tries a call gets. A registry that seems down may only have failed to
// answer for a few images: others must not fail for that. So it is asked for /v2/ every probeEvery,
// and as long as it answers, each call gets one try.
func (h *host) triesOf(ctx context.Context) int {
	tries := h.health.tries(h.client.config.Retries)
	if tries == 0 && !h.health.hasHung() && h.hasPulse(ctx) {
		tries = 1
	}
	return tries
}

// hasPulse takes no request slot to ask: those that have the slots may wait for a registry that
// is down.
func (h *host) hasPulse(ctx context.Context) bool {
	select {
	case h.pulse.turn <- struct{}{}:
		defer func() { <-h.pulse.turn }()
	case <-ctx.Done():
		return false
	}
	if time.Since(h.pulse.asked) >= probeEvery {
		h.pulse.beats = h.ping(ctx)
		h.pulse.asked = time.Now()
	}
	return h.pulse.beats
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
func (o *outsiders) mayAsk(h *host, u *url.URL) error {
	if h.at(u) || o.at(u.Host).tries(1) > 0 {
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
