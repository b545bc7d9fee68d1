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

// gaveUp notes a request without an answer to any of its tries.
func (h *health) gaveUp() {
	h.mu.Lock()
	h.lost++
	h.mu.Unlock()
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
