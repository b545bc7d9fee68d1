package auth

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"imagemirror/internal/credentials"
	"imagemirror/internal/retry"
)

// always is Slots without a limit.
type always struct{}

func (always) Several() bool                 { return true }
func (always) Acquire(context.Context) error { return nil }
func (always) Release()                      {}

// tokenService starts a token service with one answer and returns its address.
func tokenService(t testing.TB, answer string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(answer)) }))
	t.Cleanup(s.Close)
	return s.URL + "/token"
}

// newAuthorizer returns an Authorizer that knows its registry's token service.
func newAuthorizer(t testing.TB, realm string) *Authorizer {
	t.Helper()
	a := New(Config{
		Registry: "registry.example.com", PlainHTTP: true, Timeout: 10 * time.Second, Retry: retry.Policy{Tries: 1}, Slots: always{},
		Client: func(context.Context, *url.URL) (*http.Client, error) { return http.DefaultClient, nil },
	})
	a.Learn(Challenge{scheme: bearer, realm: realm})
	return a
}

func TestTokenServiceMustHaveASafeAddress(t *testing.T) {
	for _, c := range []struct {
		realm, want string
		plainHTTP   bool
	}{
		{realm: "http://auth.example.com/token", want: "not https"},
		{realm: "/token", want: "invalid address", plainHTTP: true},
		{realm: "file:///etc/passwd", want: "invalid address", plainHTTP: true},
		{realm: "https://%zz", want: "invalid address"},
		{realm: "https://auth.example.com/token", want: "led astray"},
		{realm: "http://auth.example.com/token", want: "led astray", plainHTTP: true},
	} {
		config := Config{PlainHTTP: c.plainHTTP, Client: func(_ context.Context, u *url.URL) (*http.Client, error) {
			return nil, errors.New("led astray to " + u.Host)
		}}
		_, err := config.fetch(t.Context(), Challenge{scheme: bearer, realm: c.realm}, credentials.Credential{}, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("the realm %q: %v, want %q", c.realm, err, c.want)
		}
	}
}

func TestUnusableTokensAreRefused(t *testing.T) {
	for _, c := range []struct{ name, answer, want string }{
		{"no JSON", `<html>`, "not JSON"},
		{"no token", `{}`, "has no token"},
		{"a line end in it", `{"token":"a\nX-Header: b"}`, "no header may have"},
		{"too long", `{"token":"` + strings.Repeat("x", maxAnswer) + `"}`, "exceeds"},
	} {
		a := newAuthorizer(t, tokenService(t, c.answer))
		got, err := a.Authorize(t.Context(), Access{Repository: "a/b"}, Authorization{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %q, %v; want an error with %q", c.name, got.Header, err, c.want)
		}
	}
}

func TestOneTokenServesAllAnnouncedRepositories(t *testing.T) {
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		_, _ = w.Write([]byte(`{"token":"t` + strings.Join(r.URL.Query()["scope"], "_") + `"}`))
	}))
	t.Cleanup(s.Close)
	a := newAuthorizer(t, s.URL+"/token")
	a.Announce(Access{Repository: "a"}, nil)
	a.Announce(Access{Repository: "b"}, []string{"c"})
	for _, want := range []Access{{Repository: "a"}, {Repository: "b"}, {Repository: "b", MountFrom: "c"}} {
		got, err := a.Authorize(t.Context(), want, Authorization{})
		if err != nil {
			t.Fatal(err)
		}
		if got.Header != "Bearer trepository:a:pull_repository:b:pull_repository:c:pull" {
			t.Errorf("%+v is authorized by %q, want the token for all", want, got.Header)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("%d tokens were asked for, want one", n)
	}
}
