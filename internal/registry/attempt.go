package registry

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"imagemirror/internal/auth"
	"imagemirror/internal/regerror"
	"imagemirror/internal/retry"
)

// attempt is one try of a call. It sends the request again at once, authorized in another way or with another scheme,
// if the answer shows that this is what was wrong.
type attempt struct {
	*host
	call     *call
	sent     auth.Authorization // what the last request carried
	switched bool               // the scheme was changed, which happens no more than once
}

// try carries out one try of a call. On an error it returns how long to wait for the next one, or retry.Never.
func (h *host) try(ctx context.Context, c *call) (*http.Response, time.Duration, *regerror.Error) {
	answered, err := h.auth.Begin(ctx)
	if err != nil {
		return nil, retry.Never, &regerror.Error{Err: err}
	}
	if answered != nil {
		defer answered()
	}
	a := &attempt{host: h, call: c}
	for {
		if resp, wait, e, again := a.once(ctx); !again {
			return resp, wait, e
		}
	}
}

// once sends the request. It reports again if another request may be answered better than this one, at once.
func (a *attempt) once(ctx context.Context) (resp *http.Response, wait time.Duration, e *regerror.Error, again bool) {
	began, scheme := time.Now(), *a.scheme.Load()
	resp, sent, err := a.send(ctx, a.call, a.sent)
	a.sent = sent
	if err != nil {
		wait, e, again = a.unanswered(ctx, scheme, err)
		return nil, wait, e, again
	}
	a.health.answered()
	if a.judge(a.call, resp, sent) {
		return resp, 0, nil, false
	}
	if denies(resp) && a.call.stream == nil && a.reauthorize(ctx, resp) {
		discard(resp)
		return nil, 0, nil, true
	}
	wait = a.slowDown(resp, began)
	e = regerror.FromResponse(resp)
	discard(resp)
	if !a.switched && a.speaksTLS(ctx, scheme, a.call.method, e) {
		a.switched = true
		return nil, 0, nil, true
	}
	return nil, wait, e, false
}

// unanswered judges a request that had no answer.
func (a *attempt) unanswered(ctx context.Context, scheme string, err error) (wait time.Duration, e *regerror.Error, again bool) {
	if !a.switched && a.plainHTTP(scheme, err) {
		a.switched = true
		return 0, nil, true
	}
	if errors.As(err, &e) { // the token service's
		if regerror.IsRefusal(e) && a.renew(ctx, a.call) {
			a.sent = a.sent.Renewed()
			return 0, nil, true
		}
		return retry.Never, e, false
	}
	return regerror.WaitAfter(ctx, err), &regerror.Error{Err: regerror.Plain(ctx, err)}, false
}

// reauthorize reports whether a request that was denied may be authorized in another way, and sees to that.
func (a *attempt) reauthorize(ctx context.Context, resp *http.Response) bool {
	if next, ok := a.auth.Again(resp, a.call.access, a.sent); ok {
		a.sent = next
		return true
	}
	if a.renew(ctx, a.call) {
		a.sent = a.sent.Renewed() // and not with the token that was refused
		return true
	}
	return false
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
