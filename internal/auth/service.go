package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"imagemirror/internal/credentials"
	"imagemirror/internal/fault"
	"imagemirror/internal/regerror"
	"imagemirror/internal/retry"
	"imagemirror/internal/secret"
	"imagemirror/internal/text"
)

const (
	maxRedirects = 5
	// manyTries is how often a token with several scopes is asked for if the service fails:
	// some fail on these only, and tokens with fewer scopes are tried next.
	manyTries = 3
)

// A tokenService issues a registry's tokens.
type tokenService struct {
	Config
	getOnly atomic.Bool // it does not take refresh tokens by POST
}

// fetch gets a token from the token service (distribution's token and OAuth2
// specifications).
func (s *tokenService) fetch(ctx context.Context, c Challenge, cred credentials.Credential, scopes []string) (issued, error) {
	realm, err := s.checkRealm(c.realm)
	if err != nil {
		return issued{}, s.failed(err)
	}
	if cred.OnlyRegistry && !s.Own(realm) {
		return issued{}, s.failed(s.keepsToRegistry(shownHost(realm)))
	}
	q := tokenRequest{at: realm, service: c.service, scopes: scopes, user: cred.Username, password: password(cred)}
	if cred.IdentityToken == "" || s.getOnly.Load() {
		return s.get(ctx, q)
	}
	got, err := s.get(ctx, q.withRefreshToken(cred.IdentityToken))
	if !regerror.IsRefusal(err) && regerror.StatusOf(err) != http.StatusNotImplemented {
		return got, err
	}
	// Services without OAuth2 answer POST with 404 or 405, JFrog Artifactory with 401, and
	// Azure's with 400, as containerd found. They take the refresh token as a password.
	if got, again := s.get(ctx, q); again == nil {
		s.getOnly.Store(true)
		return got, nil
	}
	return issued{}, err
}

// keepsToRegistry returns the error of a credential that a token service does not get.
func (s *tokenService) keepsToRegistry(service string) error {
	return fault.Credentials.Mark(unusable{
		fmt.Sprintf("the service account's token goes to %s only, whose token service is on another host, %s", s.Registry, service),
		fmt.Sprintf("ask the registry's operators for a token service on %s, or add an entry for it to the credentials", s.Registry),
	})
}

// password returns the password of a credential, which its refresh token is if it has no
// other.
func password(cred credentials.Credential) string {
	return cmp.Or(cred.Password, cred.IdentityToken)
}

// refuses reports whether the token service refuses a request, and may issue a token if
// it is asked in another way.
func refuses(err error) bool {
	var answer unusable
	return regerror.IsRefusal(err) || regerror.StatusOf(err) >= http.StatusInternalServerError || errors.As(err, &answer)
}

// refusesMany reports whether the token service refuses a request for several scopes, or does not
// answer it, and may yet issue a token with fewer. It returns false for a service that cannot be
// reached. Once ctx has ended, a missing answer says nothing about the service.
func refusesMany(ctx context.Context, err error) bool {
	var dial *net.OpError
	reached := !errors.As(err, &dial) || dial.Op != "dial" && dial.Op != "proxyconnect"
	return refuses(err) || reached && regerror.StatusOf(err) == 0 && !regerror.IsPermanent(err) && ctx.Err() == nil
}

// get sends a request for a token, with retries.
func (s *tokenService) get(ctx context.Context, q tokenRequest) (got issued, err error) {
	err = s.Retry.Do(ctx, func(n int) (wait time.Duration, err error) {
		var e *regerror.Error
		if got, wait, e = s.ask(ctx, q); e == nil {
			return 0, nil
		}
		e.Tries = n
		several := len(q.scopes) > 1 && refusesMany(ctx, e) && e.Status != http.StatusServiceUnavailable
		if several && (n >= manyTries || errors.Is(e, regerror.ErrStalled)) || e.Status == 0 && s.SeemsDown() {
			wait = retry.Never
		}
		return wait, e
	})
	return got, err
}

// checkRealm refuses the address of a token service that would have credentials travel
// without TLS.
func (s *tokenService) checkRealm(realm string) (*url.URL, error) {
	u, err := url.Parse(realm)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, regerror.Malformed("the token service has an invalid address %.200q", secret.Hide(realm))
	}
	if u.Scheme == "http" && !s.PlainHTTP {
		return nil, regerror.Malformed("the token service %.200q is not https: if that is intended, set insecure for the registry in registries.conf", secret.Hide(realm))
	}
	return u, nil
}

// ask sends a request for a token once. On an error it returns how long to wait for the
// next try, or retry.Never.
func (s *tokenService) ask(ctx context.Context, q tokenRequest) (issued, time.Duration, *regerror.Error) {
	limited, cancel := context.WithTimeoutCause(ctx, s.Timeout, regerror.ErrStalled)
	defer cancel()
	resp, err := s.follow(limited, q)
	if err != nil {
		return issued{}, serviceWait(ctx, err), s.blame(q, s.failed(regerror.Plain(limited, err)))
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		e := regerror.FromResponse(resp)
		e.Name, e.Doing = s.Registry, regerror.GettingToken
		if !e.Transient() {
			return issued{}, retry.Never, s.blame(q, e)
		}
		return issued{}, e.After, s.blame(q, e)
	}
	got, err := readToken(resp)
	if err != nil {
		return issued{}, serviceWait(ctx, err), s.blame(q, s.failed(err))
	}
	return got, 0, nil
}

// blame adds to an error the token service's host, unless that is the registry.
func (s *tokenService) blame(q tokenRequest, e *regerror.Error) *regerror.Error {
	if !strings.EqualFold(q.at.Host, s.Registry) {
		e.Host = shownHost(q.at)
	}
	return e
}

// serviceWait returns how long to wait, at least, after a request without a token, or
// retry.Never.
func serviceWait(ctx context.Context, err error) time.Duration {
	var answer unusable
	if errors.As(err, &answer) {
		return retry.Never
	}
	return regerror.WaitAfter(ctx, err)
}

// failed returns the error of a request for a token that failed because of err.
func (s *tokenService) failed(err error) *regerror.Error {
	return &regerror.Error{Name: s.Registry, Doing: regerror.GettingToken, Err: err}
}

// follow sends a request for a token. It follows redirects on the same host only, since
// the request has the credentials.
func (s *tokenService) follow(ctx context.Context, q tokenRequest) (*http.Response, error) {
	for range maxRedirects + 1 {
		client, err := s.Client(ctx, q.at)
		if err != nil {
			return nil, err
		}
		req, err := q.request(ctx)
		if err != nil {
			return nil, regerror.Permanent(err)
		}
		resp, err := client.Do(req)
		if err != nil || resp.StatusCode/100 != 3 || resp.Header.Get("Location") == "" {
			return resp, err
		}
		resp.Body.Close()
		to, err := s.redirected(req.URL, resp.Header.Get("Location"))
		if err != nil {
			return nil, err
		}
		q = q.redirectedTo(to, resp.StatusCode)
	}
	return nil, unusable{fmt.Sprintf("the token service redirects more than %d times", maxRedirects), askOperators}
}

// redirected returns the address that the token service redirects to. One without a
// query gets the request's: front servers drop it when they add a slash.
func (s *tokenService) redirected(from *url.URL, location string) (*url.URL, error) {
	to, err := from.Parse(location)
	switch {
	case err != nil || to.Host == "" || to.Scheme != "https" && to.Scheme != "http":
		return nil, unusable{"the token service's redirect has no valid Location", askOperators}
	case !strings.EqualFold(to.Hostname(), from.Hostname()) || ownPort(to) != ownPort(from):
		return nil, strayed(shownHost(from), shownHost(to))
	case to.Scheme == "http" && from.Scheme == "https" && !s.PlainHTTP:
		return nil, unusable{"the token service's redirect leads from https to plain http", askOperators}
	}
	to.RawQuery = cmp.Or(to.RawQuery, from.RawQuery)
	return to, nil
}

// ownPort returns the port of an address, or "" for the default of its scheme.
func ownPort(u *url.URL) string {
	if port := u.Port(); u.Scheme == "https" && port != "443" || u.Scheme == "http" && port != "80" {
		return port
	}
	return ""
}

// maxHost bounds a host in an error, in characters.
const maxHost = 100

// shownHost returns the host of an address for an error.
func shownHost(u *url.URL) string { return text.Line(secret.Hide(u.Host), maxHost) }

// strayed returns the error of a token service's redirect to another host.
func strayed(from, to string) error {
	return unusable{
		fmt.Sprintf("the token service %s redirects to %s: another host gets no credentials", from, to),
		fmt.Sprintf("ask the registry's operators to name %s in the challenge; if it is a login page or a proxy of this network, let this machine reach %s without it", to, from),
	}
}

// A tokenRequest is a request for a token: a POST with a form that has a refresh token,
// and otherwise a GET.
type tokenRequest struct {
	at             *url.URL
	service        string
	scopes         []string
	user, password string
	refreshToken   string
	done           bool // at is where the answer to a POST is
	complete       bool // at has the parameters
}

func (q tokenRequest) withRefreshToken(token string) tokenRequest {
	q.user, q.password, q.refreshToken = "", "", token
	return q
}

// redirectedTo returns the request to follow a redirect with. 303 asks for a GET (RFC
// 9110, section 15.4.4). The others keep the method, since nothing but the same request
// has a token for its answer.
func (q tokenRequest) redirectedTo(to *url.URL, status int) tokenRequest {
	q.at, q.complete = to, true
	q.done = q.done || status == http.StatusSeeOther
	return q
}

func (q tokenRequest) request(ctx context.Context) (*http.Request, error) {
	if q.refreshToken != "" && !q.done {
		return q.post(ctx)
	}
	u := *q.at
	if !q.complete {
		values := u.Query()
		if q.service != "" {
			values.Set("service", q.service)
		}
		values["scope"] = q.scopes
		u.RawQuery = values.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	if q.user != "" || q.password != "" {
		req.SetBasicAuth(q.user, q.password)
	}
	return req, nil
}

func (q tokenRequest) post(ctx context.Context) (*http.Request, error) {
	form := url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {q.refreshToken},
		"service": {q.service}, "client_id": {"imagemirror"}, "scope": {strings.Join(q.scopes, " ")},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, q.at.String(), strings.NewReader(form.Encode()))
	if err == nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return req, err
}
