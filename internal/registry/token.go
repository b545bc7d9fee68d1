package registry

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"imagemirror/internal/credentials"
	"imagemirror/internal/retry"
)

// token is a bearer token that is fetched when it is first wanted and again before it runs out.
type token struct {
	credential   credentials.Credential
	scopes       []string
	repositories int // how many were announced for it

	mu      sync.Mutex
	value   string
	renew   time.Time // when it is time for another one
	refused error     // why the token service gives no token for so many repositories
}

// issued is a token service's answer.
type issued struct {
	value string
	life  time.Duration
}

// Lives of tokens. A service that does not say gives 60 seconds (distribution's token specification).
const (
	defaultLife = 60 * time.Second
	maxToken    = 1 << 20 // bytes of a token service's answer
)

// get returns the token, fetched anew where it has run out or is the one that was refused. Callers that come
// meanwhile wait for the same answer.
func (t *token) get(ctx context.Context, fetch func(context.Context, challenge, credentials.Credential, []string) (issued, error), c challenge, refused string, with credentials.Credential) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.value != "" && t.value != refused && time.Now().Before(t.renew) {
		return t.value, nil
	}
	if t.refused != nil {
		return "", t.refused
	}
	asked := time.Now()
	got, err := fetch(ctx, c, with, t.scopes)
	if err != nil {
		if len(t.scopes) > 1 && isRefusal(err) {
			t.refused = err
		}
		return "", err
	}
	// A request takes a while to be judged, so the last fifth of a life is not used.
	t.value, t.renew = got.value, asked.Add(got.life-min(got.life/5, 30*time.Second))
	return t.value, nil
}

// isRefusal says whether the token service understood, and said no.
func isRefusal(err error) bool {
	status := StatusOf(err)
	return status >= 400 && status < 500 && !retry.Transient(status)
}

// refreshed says whether the token is another one than value by now.
func (t *token) refreshed(value string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.value != value
}

// fetchToken asks a registry's token service (distribution's token and OAuth2 specifications).
func (h *host) fetchToken(ctx context.Context, c challenge, cred credentials.Credential, scopes []string) (issued, error) {
	realm, err := h.checkRealm(ctx, c.realm)
	if err != nil {
		return issued{}, h.tokenError(err, 0)
	}
	var got issued
	err = h.client.policy().Do(ctx, func(n int) (time.Duration, error) {
		var wait time.Duration
		var e *Error
		if got, wait, e = h.askForToken(ctx, realm, c.service, cred, scopes); e == nil {
			return 0, nil
		}
		e.Tries = n
		return wait, e
	})
	return got, err
}

// checkRealm refuses a token service that would have credentials travel in the clear.
func (h *host) checkRealm(ctx context.Context, realm string) (*url.URL, error) {
	u, err := url.Parse(realm)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, wrongAnswer("its token service %.200q is no address", realm)
	}
	if u.Scheme == "http" && !h.inClear() {
		return nil, wrongAnswer("its token service %.200q is not https: set insecure for the registry in registries.conf if it is meant to be", realm)
	}
	return u, h.mayLead(ctx, u)
}

// askForToken asks once. On an error it returns how long to wait for the next try, or retry.Never.
func (h *host) askForToken(ctx context.Context, realm *url.URL, service string, cred credentials.Credential, scopes []string) (issued, time.Duration, *Error) {
	ctx, cancel := context.WithTimeout(ctx, h.client.config.Stall)
	defer cancel()
	req, err := tokenRequest(ctx, realm, service, cred, scopes)
	if err != nil {
		return issued{}, retry.Never, h.tokenError(err, 0)
	}
	resp, err := h.httpFor(realm).Do(req)
	if err != nil {
		return issued{}, h.waitAfter(ctx, err), h.tokenError(plain(ctx, err), 0)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		e := h.tokenError(nil, resp.StatusCode)
		e.Code, e.Words = words(resp)
		if !retry.Transient(resp.StatusCode) {
			return issued{}, retry.Never, e
		}
		return issued{}, retry.After(resp.Header, time.Now()), e
	}
	got, err := readToken(resp.Body)
	if err != nil {
		return issued{}, 0, h.tokenError(err, 0)
	}
	return got, 0, nil
}

func (h *host) tokenError(err error, status int) *Error {
	return &Error{Name: h.endpoint.Registry, Doing: "getting a token for", Status: status, Err: err}
}

func tokenRequest(ctx context.Context, realm *url.URL, service string, cred credentials.Credential, scopes []string) (*http.Request, error) {
	u := *realm
	if cred.IdentityToken != "" {
		form := url.Values{
			"grant_type": {"refresh_token"}, "refresh_token": {cred.IdentityToken},
			"service": {service}, "client_id": {"imagemirror"}, "scope": {strings.Join(scopes, " ")},
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), strings.NewReader(form.Encode()))
		if err == nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		return req, err
	}
	q := u.Query()
	if service != "" {
		q.Set("service", service)
	}
	q["scope"] = scopes
	u.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err == nil && cred.Username != "" {
		req.SetBasicAuth(cred.Username, cred.Password)
	}
	return req, err
}

func readToken(r io.Reader) (issued, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxToken+1))
	if err != nil {
		return issued{}, err
	}
	if len(b) > maxToken {
		return issued{}, wrongAnswer("its token service answers more than %d bytes", maxToken)
	}
	var answer struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return issued{}, wrongAnswer("its token service answers no JSON: %v", err)
	}
	got := issued{value: answer.Token, life: time.Duration(answer.ExpiresIn) * time.Second}
	if got.value == "" {
		got.value = answer.AccessToken
	}
	if got.value == "" {
		return issued{}, wrongAnswer("its token service answers without a token")
	}
	if !isHeaderValue(got.value) {
		return issued{}, wrongAnswer("its token service answers a token that no header can carry")
	}
	if got.life <= 0 {
		got.life = defaultLife
	}
	return got, nil
}

func isHeaderValue(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}
