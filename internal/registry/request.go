package registry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"imagemirror/internal/auth"
	"imagemirror/internal/regerror"
	"imagemirror/internal/retry"
)

// call is a request to a registry, as often as it takes.
type call struct {
	method   string
	rest     string   // path in the repository, such as manifests/v1
	query    string   // without the question mark
	location *url.URL // instead of path and query: an upload's, as the registry gave it
	header   http.Header
	body     []byte    // sent anew with each try
	stream   io.Reader // instead of body: sent once, so that there is one try
	length   int64     // of stream
	access   auth.Access
	kept     *slot // of a download; it outlives the request
	reserved *bool // where true, it has a slot already, and takes it
	expect   []int // statuses that are answers; any other is an error
}

// Bounds on how far a registry's wishes are followed.
const (
	maxRedirects   = 5
	commitPatience = 5 // times Stall that a registry may take to take in a blob, which it hashes
)

// do carries out a call and returns the answer, whose body the caller closes. The place in the registry's budget is
// kept until then. Errors are of type *regerror.Error, without Side and Doing.
func (h *host) do(ctx context.Context, c *call) (*http.Response, error) {
	tries := h.health.tries(h.client.config.Retries)
	if tries == 0 {
		return nil, &regerror.Error{Err: regerror.ErrDown}
	}
	if c.stream != nil {
		tries = 1
	}
	h.renew(ctx, c)
	var resp *http.Response
	var e *regerror.Error
	err := h.client.policy().Do(ctx, func(n int) (wait time.Duration, err error) {
		if resp, wait, e = h.try(ctx, c); e == nil {
			return 0, nil
		}
		e.Tries = n
		if e.Status != 0 && c.stream == nil {
			tries = h.client.config.Retries // it does answer
		}
		if n >= tries {
			wait = retry.Never
		}
		return wait, e
	})
	if err == nil {
		return resp, nil
	}
	if e.Status == 0 && ctx.Err() == nil && !errors.Is(e, regerror.ErrBusy) {
		h.health.gaveUp()
	}
	return nil, e
}

// try sends the request once, and again with other authorization where that is what was wrong. On an error it returns
// how long to wait for the next try, or retry.Never.
func (h *host) try(ctx context.Context, c *call) (*http.Response, time.Duration, *regerror.Error) {
	answered, err := h.auth.Begin(ctx)
	if err != nil {
		return nil, retry.Never, &regerror.Error{Err: err}
	}
	if answered != nil {
		defer answered()
	}
	var sent auth.Authorization
	changed := false // the scheme, which changes no more than once
	for {
		began, scheme := time.Now(), *h.scheme.Load()
		var resp *http.Response
		resp, sent, err = h.send(ctx, c, sent)
		if err != nil {
			if !changed && h.plainHTTP(scheme, err) {
				changed = true
				continue
			}
			var e *regerror.Error
			if errors.As(err, &e) {
				if regerror.IsRefusal(e) && h.renew(ctx, c) {
					sent = sent.Renewed()
					continue
				}
				return nil, retry.Never, e // the token service's
			}
			return nil, regerror.WaitAfter(ctx, err), &regerror.Error{Err: regerror.Plain(ctx, err)}
		}
		h.health.answered()
		if h.judge(c, resp, sent) {
			return resp, 0, nil
		}
		if denies(resp) && c.stream == nil {
			if next, ok := h.auth.Again(resp, c.access, sent); ok {
				discard(resp)
				sent = next
				continue
			}
			if h.renew(ctx, c) {
				discard(resp)
				sent = sent.Renewed() // and not the token that was refused
				continue
			}
		}
		wait := h.slowDown(resp, began)
		e := regerror.FromResponse(resp)
		discard(resp)
		if !changed && h.speaksTLS(ctx, scheme, c.method, e) {
			changed = true
			continue
		}
		return nil, wait, e
	}
}

// renew looks the call's credential up, which may be another one by now: those of clouds last for minutes. It says whether it
// is. While it cannot be had, the one that is known is used.
func (h *host) renew(ctx context.Context, c *call) bool {
	credential, err := h.client.credentials.For(ctx, c.access.Side, h.endpoint.Registry, c.access.Repository)
	if err != nil || credential == c.access.Credential {
		return false
	}
	c.access.Credential = credential
	return true
}

func denies(resp *http.Response) bool {
	return resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden
}

// judge says whether an answer is one that the call expects, and notes what it tells about the registry.
func (h *host) judge(c *call, resp *http.Response, sent auth.Authorization) bool {
	if resp.StatusCode != http.StatusUnauthorized {
		h.auth.Learn(auth.Challenge{})
	}
	if !slices.Contains(c.expect, resp.StatusCode) {
		return false
	}
	h.budget.succeeded()
	h.auth.Accepted(sent)
	return true
}

// slowDown makes everyone heed a registry that is overloaded, and says how long this request is to wait.
func (h *host) slowDown(resp *http.Response, began time.Time) time.Duration {
	switch {
	case resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable:
		wait := retry.After(resp.Header, time.Now())
		h.budget.throttled(began, wait)
		return wait
	case retry.Transient(resp.StatusCode):
		return 0
	}
	return retry.Never
}

// send sends the request once, authorized as its step says, follows redirects, and returns an answer of any status. The
// place in the budget is given back when the answer's body is closed.
func (h *host) send(ctx context.Context, c *call, last auth.Authorization) (*http.Response, auth.Authorization, error) {
	release, err := h.slot(ctx, c)
	if err != nil {
		return nil, last, err
	}
	// The token comes last: it may have expired while the request waited for its slot.
	with, err := h.auth.Authorize(ctx, c.access, last)
	if err != nil {
		release()
		return nil, last, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	w := newWatchdog(h.client.config.Stall, cancel)
	var body *requestBody
	if c.stream != nil {
		body = &requestBody{from: c.stream, w: w}
		if c.length == 0 {
			w.moved(commitPatience)
		}
	}
	done := sync.OnceFunc(func() {
		w.stop()
		cancel(nil)
		release()
		body.letGo()
	})
	u := c.location
	if u == nil {
		u = h.url(c.access.Repository, c.rest)
		u.RawQuery = c.query
	}
	resp, err := h.follow(ctx, c, u, with.Header, body)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		done()
		return nil, with, err
	}
	w.hold()
	resp.Body = &responseBody{ReadCloser: resp.Body, ctx: ctx, w: w, done: done}
	return resp, with, nil
}

// slot gets the call a slot of the registry's budget. The caller releases it.
func (h *host) slot(ctx context.Context, c *call) (release func(), err error) {
	switch {
	case c.kept != nil:
		return func() {}, c.kept.take(ctx, h.budget) // whoever keeps it gives it back
	case c.reserved != nil && *c.reserved:
		*c.reserved = false
	default:
		err = h.budget.Acquire(ctx)
	}
	return h.budget.Release, err
}

// follow sends the request to u and to where the registry redirects it. What authorizes it goes to the registry only.
func (h *host) follow(ctx context.Context, c *call, u *url.URL, authorization string, body *requestBody) (*http.Response, error) {
	for hop := 0; ; hop++ {
		client, err := h.lead(ctx, u)
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
		resp, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		if !redirected(resp.StatusCode) || c.method != http.MethodGet && c.method != http.MethodHead {
			return resp, nil
		}
		to, err := u.Parse(resp.Header.Get("Location"))
		discard(resp)
		switch {
		case err != nil || to.Host == "" || to.Scheme != "https" && to.Scheme != "http":
			return nil, regerror.Malformed("it redirects to no address")
		case hop == maxRedirects:
			return nil, regerror.Malformed("it redirects more than %d times", maxRedirects)
		case to.Scheme == "http" && u.Scheme == "https" && !h.allowsPlainHTTP():
			return nil, regerror.Malformed("it redirects from https to plain http")
		}
		u = to
	}
}

func redirected(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

func (c *call) request(ctx context.Context, u *url.URL, stream *requestBody) (*http.Request, error) {
	var body io.Reader
	switch {
	case stream != nil:
		body = stream
	case c.body != nil:
		body = bytes.NewReader(c.body)
	}
	req, err := http.NewRequestWithContext(ctx, c.method, u.String(), body)
	if err != nil {
		return nil, err
	}
	if stream != nil {
		req.ContentLength = c.length
		if c.length == 0 {
			req.Body = http.NoBody
		}
	}
	for k, v := range c.header {
		req.Header[k] = v
	}
	req.Header.Set("User-Agent", userAgent)
	return req, nil
}

const userAgent = "imagemirror"

// discard reads a little of a body that is of no interest, so that the connection can be used again, and closes it.
func discard(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 16<<10)
	_ = resp.Body.Close()
}
