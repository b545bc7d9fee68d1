package auth

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"imagemirror/internal/credentials"
	"imagemirror/internal/regerror"
	"imagemirror/internal/retry"
)

const (
	// defaultLifetime is the lifetime of a token whose service does not state one (distribution's
	// token specification).
	defaultLifetime = 60 * time.Second
	maxAnswer       = 1 << 20 // bytes of a token service's answer
)

// issued is a token service's answer.
type issued struct {
	value    string
	lifetime time.Duration
}

// fetch gets a token from the token service (distribution's token and OAuth2
// specifications).
func (config Config) fetch(ctx context.Context, c Challenge, cred credentials.Credential, scopes []string) (issued, error) {
	realm, err := config.checkRealm(c.realm)
	if err != nil {
		return issued{}, config.failed(err)
	}
	client, err := config.Client(ctx, realm)
	if err != nil {
		return issued{}, config.failed(err)
	}
	var got issued
	err = config.Retry.Do(ctx, func(n int) (time.Duration, error) {
		var wait time.Duration
		var e *regerror.Error
		if got, wait, e = config.ask(ctx, client, func(ctx context.Context) (*http.Request, error) {
			return tokenRequest(ctx, realm, c.service, cred, scopes)
		}); e == nil {
			return 0, nil
		}
		e.Tries = n
		return wait, e
	})
	return got, err
}

// checkRealm refuses the address of a token service that would have credentials travel
// without TLS.
func (config Config) checkRealm(realm string) (*url.URL, error) {
	u, err := url.Parse(realm)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, regerror.Malformed("the token service has an invalid address %.200q", realm)
	}
	if u.Scheme == "http" && !config.PlainHTTP {
		return nil, regerror.Malformed("the token service %.200q is not https: if that is intended, set insecure for the registry in registries.conf", realm)
	}
	return u, nil
}

// ask sends a request for a token once. On an error it returns how long to wait for the
// next try, or retry.Never.
func (config Config) ask(ctx context.Context, client *http.Client, request func(context.Context) (*http.Request, error)) (issued, time.Duration, *regerror.Error) {
	ctx, cancel := context.WithTimeout(ctx, config.Timeout)
	defer cancel()
	req, err := request(ctx)
	if err != nil {
		return issued{}, retry.Never, config.failed(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return issued{}, regerror.WaitAfter(ctx, err), config.failed(regerror.Plain(ctx, err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		e := regerror.FromResponse(resp)
		e.Name, e.Doing = config.Registry, regerror.GettingToken
		if !retry.Transient(resp.StatusCode) {
			return issued{}, retry.Never, e
		}
		return issued{}, retry.After(resp.Header, time.Now()), e
	}
	got, err := readToken(resp.Body)
	if err != nil {
		return issued{}, 0, config.failed(err)
	}
	return got, 0, nil
}

// failed returns the error of a request for a token that failed because of err.
func (config Config) failed(err error) *regerror.Error {
	return &regerror.Error{Name: config.Registry, Doing: regerror.GettingToken, Err: err}
}

// tokenRequest makes the request for a token: a POST with a refresh token, and
// otherwise a GET.
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

// readToken reads the token service's answer.
func readToken(r io.Reader) (issued, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxAnswer+1))
	if err != nil {
		return issued{}, err
	}
	if len(b) > maxAnswer {
		return issued{}, regerror.Malformed("the token service's answer exceeds %d bytes", maxAnswer)
	}
	var answer struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return issued{}, regerror.Malformed("the token service's answer is not JSON: %v", err)
	}
	got := issued{value: answer.Token, lifetime: time.Duration(answer.ExpiresIn) * time.Second}
	if got.value == "" {
		got.value = answer.AccessToken
	}
	if got.value == "" {
		return issued{}, regerror.Malformed("the token service's answer has no token")
	}
	if !isHeaderValue(got.value) {
		return issued{}, regerror.Malformed("the token service's token has characters that no header may have")
	}
	if got.lifetime <= 0 {
		got.lifetime = defaultLifetime
	}
	return got, nil
}

func isHeaderValue(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}
