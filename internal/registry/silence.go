package registry

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"imagemirror/internal/regerror"
)

// silence is what a health knows of a host that takes requests and answers none. One that cuts them
// costs no time. One that hangs costs MIRROR_STALL for each attempt, which holds a slot.
type silence struct {
	quiet  int           // attempts and bodies that met with silence since the last whole answer
	since  time.Time     // when the first of them began
	waited time.Duration // by all of them
	heard  time.Time     // when the last whole answer came

	asking bool                    // the host is asked whether it answers anybody
	asked  time.Time               // when that ended
	found  bool                    // it did not
	up     context.Context         // ends once that is found; nil if nobody waits for it
	end    context.CancelCauseFunc // of up
}

const (
	quietAtMost  = 4               // attempts that met with silence, before a host is suspected of it
	silentAtMost = time.Minute     // before it is suspected, and then as long as it is asked
	quietAfter   = 5 * time.Second // of waiting; a turn of a transfer ends before MIRROR_STALL
	waitedAtMost = time.Minute     // by one request, as far as it counts
)

// errSilent ends the requests to a registry that is silent, and errHostSilent those to another
// host. They have outlasted all waits between attempts: another one would only wait, too.
var (
	errSilent     = regerror.Permanent(regerror.ErrDown)
	errHostSilent = regerror.Permanent(regerror.ErrHostDown)
)

// unheard notes an attempt, or a body, that ended with err. It counts if it met with silence: it
// timed out, or waited so long before it was cut or called off. ctx is the request's, which began
// and last got something at the given times.
func (h *health) unheard(ctx context.Context, began, moved time.Time, err error) {
	waited, cause := time.Since(moved), context.Cause(ctx)
	if regerror.IsSlow(cause) || waited < quietAfter && !timedOut(cause, err) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &h.silence
	s.waited += min(waited, waitedAtMost)
	if s.quiet++; s.quiet > 1 {
		return
	}
	if s.since = began; s.heard.After(began) {
		s.since = s.heard
	}
}

// timedOut reports whether a request ended with err since nothing came in time. cause is why its
// context ended, or nil.
func timedOut(cause, err error) bool {
	if cause != nil {
		return errors.Is(cause, regerror.ErrStalled)
	}
	var late net.Error
	return errors.As(err, &late) && late.Timeout()
}

// heard notes a whole answer.
func (h *health) heard() {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &h.silence
	s.quiet, s.waited, s.found, s.heard = 0, 0, false, time.Now()
}

// isSilent reports whether the host was found silent.
func (h *health) isSilent() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.silence.found
}

// suspect begins to find out whether the host is silent, if that may be. Requests go on meanwhile,
// and may be answered first: whoever asked may be called off.
func (h *health) suspect(ctx context.Context, probe probe) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch s := &h.silence; {
	case !h.isSuspectLocked() || s.asking || time.Since(s.asked) < probeEvery:
	case s.waited >= hungAtMost*waitedAtMost:
		h.fallLocked()
	default:
		s.asking = true
		go h.ask(context.WithoutCancel(ctx), probe)
	}
}

// isSuspectLocked reports whether the host may be silent. It needs h.mu.
func (h *health) isSuspectLocked() bool {
	s := &h.silence
	return !s.found && s.quiet >= quietAtMost && time.Since(s.since) >= silentAtMost
}

// ask asks the host whether it answers anybody.
func (h *health) ask(ctx context.Context, probe probe) {
	alive := probe.insist(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &h.silence
	s.asking, s.asked = false, time.Now()
	if !alive && h.isSuspectLocked() { // else there was an answer meanwhile
		h.fallLocked()
	}
}

// fallLocked notes that the host is silent, and calls off what waits to be sent to it. It needs
// h.mu.
func (h *health) fallLocked() {
	s := &h.silence
	s.found, h.passed = true, time.Now()
	h.liveness.note(false)
	if s.up != nil {
		s.end(errSilent)
		s.up = nil
	}
}

// period returns a context that ends with errSilent once the host is found silent. It returns nil
// if it is already: then a request is one that tries it.
func (h *health) period() context.Context {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &h.silence
	if s.found {
		return nil
	}
	if s.up == nil {
		s.up, s.end = context.WithCancelCause(context.Background())
	}
	return s.up
}

// within returns ctx, which ends with a period, too, if that is not nil. The caller calls end.
func within(ctx, period context.Context) (both context.Context, end func()) {
	if period == nil {
		return ctx, func() {}
	}
	both, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(period, func() { cancel(context.Cause(period)) })
	return both, func() { stop(); cancel(nil) }
}

// insist probes every probeEvery for silentAtMost, until there is an answer. A host that restarts
// may never answer what it was asked before, or refuse connections for a while.
func (p probe) insist(ctx context.Context) bool {
	limited, cancel := context.WithTimeout(ctx, silentAtMost)
	defer cancel()
	again := time.NewTicker(probeEvery)
	defer again.Stop()
	answers := make(chan struct{}, 1)
	for {
		go func() {
			if p(limited) {
				select {
				case answers <- struct{}{}:
				default:
				}
			}
		}()
		select {
		case <-answers:
			return true
		case <-limited.Done():
			return false
		case <-again.C:
		}
	}
}

// A heedful transport tells a health which requests are answered.
type heedful struct {
	http.RoundTripper
	health *health
}

func (t heedful) RoundTrip(req *http.Request) (*http.Response, error) {
	began := time.Now()
	resp, err := t.RoundTripper.RoundTrip(req)
	if err == nil {
		t.health.heard()
	} else {
		t.health.unheard(req.Context(), began, began, err)
	}
	return resp, err
}
