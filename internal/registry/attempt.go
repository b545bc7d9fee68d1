package registry

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"time"

	"imagemirror/internal/auth"
	"imagemirror/internal/credentials"
	"imagemirror/internal/reference"
	"imagemirror/internal/regerror"
	"imagemirror/internal/retry"
)

// A callAttempt is one try of a call. It sends the request again at once if the answer
// shows that it needs another token, credential or scheme.
type callAttempt struct {
	*host
	call     *call
	sent     auth.Authorization // what the last request carried
	switched bool               // the scheme was changed, which happens once at most
	tokenErr *regerror.Error    // why there is no token; the request was sent without one
}

// try makes one attempt at a call. On an error it returns how long to wait before the
// next, or retry.Never.
func (h *host) try(ctx context.Context, c *call) (*http.Response, time.Duration, *regerror.Error) {
	answered, err := h.auth.Begin(ctx)
	if err != nil {
		return nil, retry.Never, &regerror.Error{Err: err}
	}
	if answered != nil {
		defer answered()
	}
	a := &callAttempt{host: h, call: c}
	for {
		if resp, wait, e, again := a.once(ctx); !again {
			return resp, wait, e
		}
	}
}

// once sends the request. It reports again if the attempt goes on with another request
// at once.
func (a *callAttempt) once(ctx context.Context) (resp *http.Response, wait time.Duration, e *regerror.Error, again bool) {
	began, scheme := time.Now(), *a.scheme.Load()
	resp, sent, err := a.send(ctx, a.call, a.sent)
	a.sent = sent
	if err != nil {
		wait, e, again = a.unanswered(ctx, scheme, err)
		return nil, wait, e, again
	}
	a.noteAnswer(resp, sent)
	if a.judge(a.call, resp, sent) && !isWebPage(a.call, resp) {
		return resp, 0, nil, false
	}
	e = regerror.FromResponse(resp)
	if e.Status == http.StatusProxyAuthRequired {
		e = &regerror.Error{Err: refusalOf(resp)}
	}
	if !a.at(resp.Request.URL) {
		e.Host = resp.Request.URL.Host
	}
	// What the answer teaches comes before the slot's release: the next request would not know it.
	again = a.learn(resp, e)
	wait = a.slowDown(e, began)
	discard(resp)
	if again || a.authorizable(ctx, resp, e) {
		return nil, 0, nil, true
	}
	if a.tokenErr != nil {
		return nil, retry.Never, a.tokenErr, false
	}
	if !e.Transient() && a.mayAskForAnother(ctx, e) {
		return nil, 0, nil, true
	}
	if !a.switched && a.speaksTLS(ctx, scheme, a.call.method, e) {
		a.switched = true
		return nil, 0, nil, true
	}
	return nil, wait, e, false
}

// unanswered decides what follows a request without an answer.
func (a *callAttempt) unanswered(ctx context.Context, scheme string, err error) (wait time.Duration, e *regerror.Error, again bool) {
	if !a.switched && a.plainHTTP(scheme, err) {
		a.switched = true
		return 0, nil, true
	}
	if errors.As(err, &e) && e.Host != "" && e.Doing != regerror.GettingToken { // from a host that the registry led to
		wait = regerror.WaitAfter(ctx, e.Err)
		return wait, e, wait == retry.Never && a.mayAskForAnother(ctx, e)
	}
	if errors.As(err, &e) { // from the token service
		if regerror.IsRefusal(e) && a.renew(ctx, a.call) {
			a.sent = a.sent.Renewed()
			return 0, nil, true
		}
		if next, ok := a.auth.Bare(a.call.access, a.sent); ok && regerror.IsRefusal(e) && a.call.stream == nil {
			a.sent, a.tokenErr = next, e
			return 0, nil, true
		}
		return retry.Never, e, false
	}
	return regerror.WaitAfter(ctx, err), &regerror.Error{Err: regerror.Plain(ctx, err)}, false
}

// isWebPage reports whether a page for people came instead of the answer that the call
// expects: networks and front servers have redirected to a login page. A blob may be one.
func isWebPage(c *call, resp *http.Response) bool {
	mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode != http.StatusOK || mediaType != "text/html" || c.kept != nil || resp.Header.Get("Docker-Content-Digest") != "" {
		return false
	}
	body := bufio.NewReader(resp.Body)
	resp.Body = struct {
		io.Reader
		io.Closer
	}{body, resp.Body}
	first, _ := body.Peek(sniffed)
	return bytes.HasPrefix(bytes.TrimSpace(first), []byte("<"))
}

// sniffed is how much of a body shows whether it is markup, in bytes.
const sniffed = 64

// refusalOf returns the error of a proxy that answers a request over plain HTTP with 407.
func refusalOf(resp *http.Response) error {
	refusal := &regerror.ProxyRefusal{Proxy: resp.Request.URL.Host, Status: resp.StatusCode}
	if proxy, err := http.ProxyFromEnvironment(resp.Request); err == nil && proxy != nil {
		refusal.Proxy = proxy.Host
	}
	return refusal
}

// noteAnswer notes an answer of any status, and who gave it. The registry has answered
// even if that is another host.
func (a *callAttempt) noteAnswer(resp *http.Response, sent auth.Authorization) {
	a.health.answered()
	if !sent.Anonymous() {
		a.tokens.answered()
	}
	if u := resp.Request.URL; !a.at(u) {
		a.elsewhere.at(u.Host).answered()
	} else {
		a.warn(resp.Header)
		if !a.isStranger() {
			a.budget.meter.read(resp)
		}
	}
}

// mayAskForAnother reports whether the registry can be asked once more for the address of
// what another host refused. The addresses of CDNs are signed, and lapse.
func (a *callAttempt) mayAskForAnother(ctx context.Context, e *regerror.Error) bool {
	if e.Host == "" || a.call.another || a.call.stream != nil || ctx.Err() != nil || errors.Is(e, regerror.ErrBusy) {
		return false
	}
	a.call.another = true
	return true
}

// learn prepares another authorization for a request that failed, if the answer shows which. It
// reports whether there is one. Only the registry itself decides that: a host that it redirects to
// gets no credentials, and must not name a token service that gets them.
func (a *callAttempt) learn(resp *http.Response, e *regerror.Error) (ok bool) {
	var next auth.Authorization
	switch {
	case a.call.stream != nil || !a.at(resp.Request.URL):
		return false
	case denies(e):
		if next, ok = a.auth.Again(resp, a.call.access, a.sent); ok {
			a.client.sawChallenge()
		}
	default:
		next, ok = a.auth.Shorter(e.Status, e.Code, a.call.access, a.sent)
	}
	if ok {
		a.sent = next
	}
	return ok
}

// authorizable looks for another authorization if the answer, from the registry itself, does not
// show one. It reports whether there is one.
func (a *callAttempt) authorizable(ctx context.Context, resp *http.Response, e *regerror.Error) bool {
	switch {
	case a.call.stream != nil || !a.at(resp.Request.URL):
		return false
	case denies(e) && a.renew(ctx, a.call):
		a.sent = a.sent.Renewed()
		return true
	}
	return a.introduce(ctx, resp, e)
}

// introduce reports whether a request that carried nothing may be sent again with its
// credential. Some registries hide from strangers what they have, instead of asking who
// they are: /v2/ then has the challenge. After 401 without a challenge anywhere, Basic is
// tried.
func (a *callAttempt) introduce(ctx context.Context, resp *http.Response, e *regerror.Error) bool {
	if !a.hides(e.Status) || a.call.access.Credential == (credentials.Credential{}) || !a.sent.Anonymous() {
		return false
	}
	a.challenge(ctx, true)
	if e.Status == http.StatusUnauthorized && resp.Header.Get("WWW-Authenticate") == "" {
		a.auth.PresumeBasic()
	}
	return a.auth.Admits(a.call.access)
}

// hides reports whether an answer may be one to strangers only. A destination's 404 to a
// read is what every new image gets.
func (a *callAttempt) hides(status int) bool {
	read := a.call.method == http.MethodGet || a.call.method == http.MethodHead
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return true
	case http.StatusNotFound:
		return !read || a.call.access.Side == reference.Source
	}
	return false
}

// renew looks up the call's credential again, since those of clouds last for minutes
// only. It reports whether the credential changed. If the lookup fails, the known one
// is kept.
func (h *host) renew(ctx context.Context, c *call) bool {
	credential, err := h.client.credentials.For(ctx, c.access.Side, h.endpoint.Registry, c.access.Repository)
	if err != nil || credential == c.access.Credential {
		return false
	}
	c.access.Credential = credential
	return true
}

// denies reports whether an answer refuses the authorization. Some registries throttle
// with 403.
func denies(e *regerror.Error) bool {
	return (e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden) && !e.Throttled()
}

// judge reports whether the call expects the answer's status, and learns from it about
// the registry.
func (h *host) judge(c *call, resp *http.Response, sent auth.Authorization) bool {
	if resp.StatusCode != http.StatusUnauthorized {
		h.auth.Learn(auth.Challenge{})
	}
	expected := slices.Contains(c.expect, resp.StatusCode)
	if expected || resp.StatusCode == http.StatusNotFound {
		h.auth.Accepted(sent) // a registry that lacks something has let the request in
	}
	if expected {
		h.budget.succeeded()
	}
	return expected
}

// slowDown throttles all requests to a registry that is overloaded. It returns how long
// this one waits before its next try, or retry.Never.
func (h *host) slowDown(e *regerror.Error, began time.Time) time.Duration {
	if e.Throttled() {
		h.budget.traffic.throttled.Add(1)
	}
	switch {
	case !e.Transient() || h.isStranger() && e.After > strangerWait:
		return retry.Never
	case h.isStranger():
	case e.Host != "": // only blobs come from there
		if e.Throttled() || e.Status == http.StatusServiceUnavailable {
			h.budget.throttled(began, 0)
		}
	case e.Throttled() || e.Status == http.StatusServiceUnavailable:
		h.budget.throttled(began, e.After)
	}
	return e.After
}
