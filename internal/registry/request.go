package registry

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"imagemirror/internal/auth"
	"imagemirror/internal/coding"
	"imagemirror/internal/regerror"
	"imagemirror/internal/retry"
	"imagemirror/internal/waits"
)

// A call is one logical request to a registry; do sends it, with retries.
type call struct {
	method   string
	rest     string   // path in the repository, such as manifests/v1
	query    string   // without the question mark
	location *url.URL // instead of path and query: an upload's, as the registry gave it
	header   http.Header
	body     []byte    // sent again with each try
	stream   io.Reader // instead of body: can be sent once, so there is one try
	length   int64     // of stream
	access   auth.Access
	kept     *slot // of a download; it outlives the call
	reserved *bool // if true, the call has a slot already and uses it
	optional bool  // another call can replace it: it is tried again only if the registry throttles
	hasty    bool  // a stall ends the call: something else can be done in the time of another
	chosen   int64 // when a hasty call chose the registry, in Unix ns: a stall since then ends it, too
	another  bool  // another address was asked for: see mayAskForAnother
	metered  bool  // the registry may count it as a pull: see meter
	lists    bool  // it lets others go first: what it lists is needed last
	child    bool  // it goes before others: an image that is begun waits for it
	expect   []int // statuses of success; any other is an error

	up context.Context // see health.period; nil if the call may find out that the registry is up again
}

// commitPatience is how long a registry may take to hash and store a blob, times Stall.
const commitPatience = 5

// do carries out a call and returns the answer. The caller closes its body, which
// releases the request slot. Errors are of type *regerror.Error, without Side and
// Doing.
func (h *host) do(ctx context.Context, c *call) (*http.Response, error) {
	c.up = h.health.period()
	tries := h.health.triesOf(ctx, h.client.config.Retries, h.ping)
	if tries == 0 {
		return nil, &regerror.Error{At: h.endpoint.Registry, Err: cmp.Or(context.Cause(ctx), h.health.whyDown())}
	}
	if c.once() {
		tries = 1
	}
	h.renew(ctx, c)
	resp, e := h.attempt(ctx, c, tries)
	if e == nil {
		return resp, nil
	}
	answered := e.Status != 0 || errors.Is(e, coding.ErrUnsupported)
	called := ctx.Err() != nil
	if !answered && !called && c.up != nil && c.up.Err() != nil && h.healthOf(e) == &h.health {
		e = &regerror.Error{Err: context.Cause(c.up)}
	}
	unsent := isDown(e) || errors.Is(e, regerror.ErrBusy) || errors.Is(e, errStalledMeanwhile) || errors.Is(e, retry.ErrTooLong)
	if !answered && !called && !unsent && !c.optional {
		h.healthOf(e).gaveUp(e)
	}
	h.explainDenial(ctx, c.access, e)
	e.At = h.endpoint.Registry
	return nil, e
}

// attempt makes up to tries attempts at a call, or more if the registry answers.
func (h *host) attempt(ctx context.Context, c *call, tries int) (resp *http.Response, e *regerror.Error) {
	waiting, end := within(ctx, c.up)
	defer end()
	err := h.policy().Do(waiting, func(n int) (wait time.Duration, err error) {
		if n > 1 {
			h.health.suspect(ctx, h.ping)
			h.budget.traffic.retries.Add(1)
		}
		if resp, wait, e = h.try(ctx, c); e == nil {
			return 0, nil
		}
		e.Tries = max(n, e.Tries) // the token service was tried within this attempt
		if e.Status != 0 && !c.once() || e.Throttled() && c.optional {
			tries = h.client.config.Retries // the registry does answer
		}
		if n >= tries || h.endsCall(c, e) {
			wait = retry.Never
		}
		return wait, e
	})
	if err == nil {
		return resp, nil
	}
	return nil, e
}

// endsCall reports whether another attempt cannot help, or is left to others, after an error.
func (h *host) endsCall(c *call, e *regerror.Error) bool {
	return e.Host != "" && e.Status == 0 && h.healthOf(e).seemsDown() ||
		c.hasty && errors.Is(e, regerror.ErrStalled) ||
		c.metered && e.Throttled() && h.budget.meter.isSpent()
}

// once reports whether a call is tried once.
func (c *call) once() bool { return c.stream != nil || c.optional }

// send sends the request once, follows redirects, and returns an answer of any status
// with what authorized the request. last is what authorized it before. Closing the
// answer's body releases the request slot.
func (h *host) send(ctx context.Context, c *call, last auth.Authorization) (*http.Response, auth.Authorization, error) {
	if !c.hasSlot(h.budget) {
		prefetched := h.await(ctx, waits.Token)
		h.auth.Await(ctx, c.access)
		prefetched()
	}
	release, err := h.slot(ctx, c)
	if err != nil {
		return nil, last, err
	}
	// The token comes last: it may have expired while the request waited for its slot.
	issued := h.await(ctx, waits.Token)
	with, err := h.auth.Authorize(ctx, c.access, last)
	issued()
	if err != nil {
		release()
		return nil, last, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	w := newWatchdog(h.client.config.Stall, cancel)
	body := h.streamed(c, w)
	done := sync.OnceFunc(func() {
		w.stop()
		cancel(nil)
		release()
		body.letGo()
	})
	answered := h.await(ctx, c.awaits())
	began, stay := time.Now(), c.leaveBefore(cancel)
	resp, err := h.follow(ctx, c, with.Header, body)
	stay()
	answered()
	if err != nil {
		done()
		return nil, with, err
	}
	w.hold()
	resp.Body = h.bodyOf(resp, &responseBody{ctx: ctx, pace: newPace(w, resp.Request.URL.Host, h.rateOf(c, resp)), began: began, done: done})
	return resp, with, nil
}

// bodyOf completes the body of an answer.
func (h *host) bodyOf(resp *http.Response, b *responseBody) *responseBody {
	from := resp.Request.URL
	b.ReadCloser, b.good, b.moved = resp.Body, resp.StatusCode/100 == 2, &h.budget.traffic.bytes
	b.health, b.down = h.healthAt(from), h.downAt(from)
	return b
}

// leaveBefore ends a request, until stay is called, when its registry is found silent. A registry
// that takes in a body is not silent.
func (c *call) leaveBefore(end context.CancelCauseFunc) (stay func() bool) {
	if c.up == nil || c.stream != nil {
		return func() bool { return false }
	}
	return context.AfterFunc(c.up, func() { end(context.Cause(c.up)) })
}

// await begins to wait for what the registry has to give within the time that it may stay
// silent.
func (h *host) await(ctx context.Context, k waits.Kind) (end func()) {
	return waits.Begin(ctx, waits.Wait{Kind: k, Host: h.endpoint.Registry, Limit: h.client.config.Stall})
}

// awaits returns what a request waits for once it is sent.
func (c *call) awaits() waits.Kind {
	if c.stream != nil {
		return waits.Upload
	}
	return waits.Answer
}

// policy returns how requests to the registry are retried.
func (h *host) policy() retry.Policy {
	return retry.Policy{
		Tries: h.client.config.Retries, First: 250 * time.Millisecond, Max: 10 * time.Second, Host: h.endpoint.Registry, Final: isDown,
	}
}

// rateOf returns the least rate of an answer, in bytes per second, or 0.
func (h *host) rateOf(c *call, resp *http.Response) int64 {
	rate := h.client.config.MinRate
	if c.kept == nil || resp.StatusCode/100 != 2 { // not a blob
		rate = cmp.Or(rate, leastRate)
	}
	return rate
}

// streamed returns the body of a call with a stream, and nil for any other.
func (h *host) streamed(c *call, w *watchdog) *streamedBody {
	if c.stream == nil {
		return nil
	}
	if c.length == 0 {
		w.run(commitPatience * w.limit)
	}
	return &streamedBody{from: c.stream, pace: newPace(w, c.location.Host, h.client.config.MinRate), moved: &h.budget.traffic.bytes}
}

// hasSlot reports whether the call holds a slot of b already.
func (c *call) hasSlot(b *budget) bool {
	return c.kept != nil && c.kept.in == b || c.reserved != nil && *c.reserved
}

// slot waits for a request slot, unless the call has one. The caller releases it.
func (h *host) slot(ctx context.Context, c *call) (release func(), err error) {
	ctx, end := within(ctx, c.up)
	defer end()
	switch {
	case c.kept != nil:
		err = c.kept.take(ctx, h.budget) // its keeper releases it
		if err == nil && c.hasty && h.stalled.Load() > c.chosen {
			err = errStalledMeanwhile
		}
		return func() {}, err
	case c.reserved != nil && *c.reserved:
		*c.reserved = false
	case c.lists:
		err = h.budget.acquire(ctx, listing)
	case c.child:
		err = h.budget.acquire(ctx, child)
	default:
		err = h.budget.Acquire(ctx)
	}
	return h.budget.Release, err
}

// addressOf returns where the call's first request goes.
func (h *host) addressOf(c *call) *url.URL {
	if c.location != nil {
		return c.location
	}
	u := h.url(c.access.Repository, c.rest)
	u.RawQuery = c.query
	return u
}

// follow sends the request and follows redirects, with its method and body. The
// Authorization header goes to the registry only.
func (h *host) follow(ctx context.Context, c *call, authorization string, body *streamedBody) (*http.Response, error) {
	for u, hop := h.addressOf(c), 0; ; hop++ {
		client, err := h.leadCall(ctx, u, c)
		if err != nil {
			return nil, err
		}
		req, err := c.request(ctx, u, body)
		if err != nil {
			return nil, regerror.Permanent(err)
		}
		if authorization != "" && h.at(u) {
			req.Header.Set("Authorization", authorization)
		}
		if body != nil && c.length > 0 && hop == 0 && h.asks.Load() {
			askFirst(req)
		}
		h.budget.traffic.requests.Add(1)
		h.budget.traffic.bytes.Add(int64(len(c.body))) // a stream counts what is read of it
		began := time.Now()
		resp, err := client.Do(req)
		if err != nil {
			return nil, h.lost(ctx, u, began, err)
		}
		to, err := h.redirect(resp, c.method, u, hop)
		if c.kept != nil && h.at(u) {
			h.leads.Store(to != nil)
		}
		if err == nil && to == nil {
			return resp, nil
		}
		h.healthAt(u).heard()
		if err != nil {
			discard(resp)
			return nil, err
		}
		if err := h.sendAgain(resp, body); err != nil {
			return nil, err
		}
		u = to
	}
}

// askFirst makes a request wait for permission to send its body. After another answer,
// net/http sends the body all the same if the connection is to be used again.
func askFirst(req *http.Request) {
	req.Header.Set("Expect", "100-continue")
	req.Close = true
}

// sendAgain ends a request that is redirected, and prepares its body for the next.
func (h *host) sendAgain(resp *http.Response, body *streamedBody) error {
	if body == nil {
		discard(resp)
		return nil
	}
	_ = resp.Body.Close() // the server may wait for the body first
	began, err := body.again()
	if began {
		h.asks.Store(true)
	}
	if errors.Is(err, ErrSentOnce) {
		return &regerror.Error{Status: resp.StatusCode, Err: err}
	}
	return err
}

// request returns the HTTP request for one address.
func (c *call) request(ctx context.Context, u *url.URL, stream *streamedBody) (*http.Request, error) {
	var body io.Reader
	switch {
	case stream != nil:
		body = stream.reader()
	case c.body != nil:
		body = bytes.NewReader(c.body)
	}
	req, err := http.NewRequestWithContext(ctx, c.method, "", body)
	if err != nil {
		return nil, err
	}
	req.URL, req.Host = u, strings.TrimSuffix(u.Host, ":") // without writing u out and parsing it again
	if stream != nil {
		req.ContentLength = c.length
		if c.length == 0 {
			req.Body = http.NoBody
		}
	}
	for k, v := range c.header {
		req.Header[k] = v
	}
	if c.kept != nil {
		req.Header.Set("Accept-Encoding", coding.Identity) // a blob comes as it is: see coding.Transport
	}
	req.Header.Set("User-Agent", userAgent)
	return req, nil
}

const userAgent = "imagemirror"

// discard closes a body that nobody needs. It reads a little of it first, so that the
// connection is reused.
func discard(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 16<<10)
	_ = resp.Body.Close()
}
