package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/credentials"
	"imagemirror/internal/retry"
)

// always is Slots without a limit.
type always struct{}

func (always) Several() bool                 { return true }
func (always) Acquire(context.Context) error { return nil }
func (always) Release()                      {}

// startService starts a token service with one answer and returns its address.
func startService(t testing.TB, answer string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(answer)) }))
	t.Cleanup(s.Close)
	return s.URL + "/token"
}

// newAuthorizer returns an Authorizer that knows its registry's token service.
func newAuthorizer(t testing.TB, realm string) *Authorizer {
	t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	a := New(Config{
		Registry: "registry.example.com", PlainHTTP: true, Timeout: 10 * time.Second, Retry: retry.Policy{Tries: 1}, Slots: always{},
		Client:    func(context.Context, *url.URL) (*http.Client, error) { return client, nil },
		SeemsDown: func() bool { return false },
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
		service := tokenService{Config: Config{PlainHTTP: c.plainHTTP, Timeout: 10 * time.Second, Retry: retry.Policy{Tries: 1}, SeemsDown: func() bool { return false }, Client: func(_ context.Context, u *url.URL) (*http.Client, error) {
			return nil, errors.New("led astray to " + u.Host)
		}}}
		_, err := service.fetch(t.Context(), Challenge{scheme: bearer, realm: c.realm}, credentials.Credential{}, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("the realm %q: %v, want %q", c.realm, err, c.want)
		}
	}
}

func TestUnusableTokensAreRefused(t *testing.T) {
	for _, c := range []struct{ name, answer, want string }{
		{"cut", `{"token":"a`, "not JSON"},
		{"an HTML page", " <html>", "an HTML page, such as a login page"},
		{"no token", `{}`, "has no token"},
		{"an error with 200", `{"errors":[{"code":"DENIED","message":"no such account"}]}`, `has no token: "no such account"`},
		{"a text", `"no object"`, "has no token"},
		{"tokens of other types", `{"token":null,"access_token":["a"]}`, "has no token"},
		{"an array", `[{"token":"a"}]`, "has no token"},
		{"a token of blanks", `{"token":" \t\n"}`, "has no token"},
		{"a refresh token only", `{"refresh_token":"a"}`, "only a refresh token"},
		{"a line end in it", `{"token":"a\nX-Header: b"}`, "no header may have"},
		{"a blank in it", `{"token":"a b"}`, "no header may have"},
		{"too long", `{"token":"` + strings.Repeat("x", maxAnswer) + `"}`, "exceeds"},
	} {
		a := newAuthorizer(t, startService(t, c.answer))
		got, err := a.Authorize(t.Context(), Access{Repository: "a/b"}, Authorization{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %q, %v; want an error with %q", c.name, got.Header, err, c.want)
		}
	}
}

func TestUnusualTokensAreUsed(t *testing.T) {
	for _, c := range []struct{ name, answer string }{
		{"access_token", `{"access_token":"T"}`},
		{"a null beside it", `{"token":null,"access_token":"T"}`},
		{"a number beside it", `{"token":5,"access_token":"T","expires_in":[1]}`},
		{"a line end after it", `{"token":"T\n"}`},
		{"blanks around it", `{"token":" T\t"}`},
		{"a byte order mark before it", "\uFEFF" + `{"token":"T"}`},
		{"expires_in as a word", `{"token":"T","expires_in":"never"}`},
		{"a refresh token beside it", `{"refresh_token":"R","access_token":"T","token":""}`},
	} {
		got, err := newAuthorizer(t, startService(t, c.answer)).Authorize(t.Context(), Access{Repository: "a/b"}, Authorization{})
		if err != nil || got.Header != "Bearer T" {
			t.Errorf("%s: got %q, %v; want the token", c.name, got.Header, err)
		}
	}
}

// A request for a token that stalls is sent again, and the error names the host that did not
// answer.
func TestTokenServiceThatStalls(t *testing.T) {
	for _, c := range []struct {
		tries int
		want  string
	}{{1, "getting a token for registry.example.com at the , which leads to HOST: no answer"}, {20, ""}} { // on a busy machine more than one is late
		var asked atomic.Int64
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if asked.Add(1) == 1 {
				<-r.Context().Done()
				return
			}
			_, _ = w.Write([]byte(`{"token":"T"}`))
		}))
		t.Cleanup(s.Close)
		a := newAuthorizer(t, s.URL+"/token")
		a.service.Timeout, a.service.Retry.Tries = 100*time.Millisecond, c.tries
		_, err := a.Authorize(t.Context(), Access{Repository: "a/b"}, Authorization{})
		want := strings.ReplaceAll(c.want, "HOST", strings.TrimPrefix(s.URL, "http://"))
		if (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("%d tries: got %v, want %q", c.tries, err, want)
		}
	}
}

func TestLifetimeIsReadInAllForms(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"": defaultLifetime, "null": defaultLifetime, `""`: defaultLifetime, "0": defaultLifetime, "1e-300": defaultLifetime, "-5": defaultLifetime,
		"300": 300 * time.Second, `"300"`: 300 * time.Second, `" 300 "`: 300 * time.Second, "300.0": 300 * time.Second,
		"3e2": 300 * time.Second, "300.5": 300500 * time.Millisecond, `"0.5"`: 500 * time.Millisecond,
		"9223372036854775807": maxLifetime, "1e300": maxLifetime, "1e400": defaultLifetime,
		`"inf"`: defaultLifetime, `"NaN"`: defaultLifetime, `"1h"`: defaultLifetime, "true": defaultLifetime, "[300]": defaultLifetime,
	} {
		if got := lifetime([]byte(value)); got != want {
			t.Errorf("expires_in %s: got %s, want %s", value, got, want)
		}
	}
}

// A fakeAnswer is what a token service does with a request.
type fakeAnswer struct {
	status   int
	location string // ELSEWHERE stands for another host
	body     string
}

const good = `{"token":"T"}`

// serve starts a token service with an answer for each method and path, which it logs, and
// returns its address. Credentials must not arrive at elsewhere.
func serve(t *testing.T, answers map[string]fakeAnswer) (address string, log *[]string) {
	t.Helper()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a request went to another host")
	}))
	t.Cleanup(elsewhere.Close)
	log = new([]string)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		_ = r.ParseForm()
		*log = append(*log, fmt.Sprintf("%s %s scope=%s %s:%s", r.Method, r.URL.Path, r.Form["scope"], user, password))
		a, ok := answers[r.Method+" "+r.URL.Path]
		if !ok {
			a = fakeAnswer{status: http.StatusNotFound}
		}
		if a.location != "" {
			w.Header().Set("Location", strings.ReplaceAll(a.location, "ELSEWHERE", elsewhere.URL))
		}
		w.WriteHeader(a.status)
		_, _ = w.Write([]byte(a.body))
	}))
	t.Cleanup(s.Close)
	return s.URL, log
}

func TestTokenServiceMayRedirectOnItsHost(t *testing.T) {
	const scope = "scope=[repository:a/b:pull]"
	get, login := "GET /t "+scope+" ci:secret", credentials.Credential{Username: "ci", Password: "secret"}
	identity := credentials.Credential{Username: "ci", IdentityToken: "ID"}
	for _, c := range []struct {
		name    string
		with    credentials.Credential
		answers map[string]fakeAnswer
		log     []string
		err     string
	}{
		{"301 that adds a slash and drops the query", login, map[string]fakeAnswer{"GET /t": {301, "/t/", ""}, "GET /t/": {200, "", good}},
			[]string{get, "GET /t/ " + scope + " ci:secret"}, ""},
		{"302 with another query", login, map[string]fakeAnswer{"GET /t": {302, "u?scope=x", ""}, "GET /u": {201, "", good}},
			[]string{get, "GET /u scope=[x] ci:secret"}, ""},
		{"303", login, map[string]fakeAnswer{"GET /t": {303, "/u", ""}, "GET /u": {200, "", good}}, []string{get, "GET /u " + scope + " ci:secret"}, ""},
		{"308 twice", login, map[string]fakeAnswer{"GET /t": {308, "/u", ""}, "GET /u": {307, "/v", ""}, "GET /v": {200, "", good}},
			[]string{get, "GET /u " + scope + " ci:secret", "GET /v " + scope + " ci:secret"}, ""},
		{"302 of a refresh token's POST", identity, map[string]fakeAnswer{"POST /t": {302, "/t/", ""}, "POST /t/": {200, "", good}},
			[]string{"POST /t " + scope + " :", "POST /t/ " + scope + " :"}, ""},
		{"303 of a refresh token's POST", identity, map[string]fakeAnswer{"POST /t": {303, "/result", ""}, "GET /result": {200, "", good}},
			[]string{"POST /t " + scope + " :", "GET /result scope=[] :"}, ""},
		{"another host", login, map[string]fakeAnswer{"GET /t": {307, "ELSEWHERE/t", ""}}, []string{get}, "another host gets no credentials"},
		{"another host, of a POST", identity, map[string]fakeAnswer{"POST /t": {308, "ELSEWHERE/t", ""}},
			[]string{"POST /t " + scope + " :"}, "another host gets no credentials"},
		{"another host later", login, map[string]fakeAnswer{"GET /t": {302, "/u", ""}, "GET /u": {302, "ELSEWHERE", ""}},
			[]string{get, "GET /u " + scope + " ci:secret"}, "another host gets no credentials"},
		{"a login page", login, map[string]fakeAnswer{"GET /t": {302, "/login", ""}, "GET /login": {200, "", "<!DOCTYPE html><title>Log in</title>"}},
			[]string{get, "GET /login " + scope + " ci:secret"}, "such as a login page"},
		{"itself", login, map[string]fakeAnswer{"GET /t": {302, "/t", ""}}, []string{get, get, get, get, get, get}, "more than 5 times"},
		{"no address", login, map[string]fakeAnswer{"GET /t": {302, "ftp://a.example", ""}}, []string{get}, "no valid Location"},
		{"nowhere", login, map[string]fakeAnswer{"GET /t": {302, "", ""}}, []string{get}, "HTTP 302"},
	} {
		address, log := serve(t, c.answers)
		a := newAuthorizer(t, address+"/t")
		got, err := a.Authorize(t.Context(), Access{Repository: "a/b", Credential: c.with}, Authorization{})
		if c.err == "" && (err != nil || got.Header != "Bearer T") || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: got %q, %v; want %q", c.name, got.Header, err, c.err)
		}
		if diff := cmp.Diff(c.log, *log); diff != "" {
			t.Errorf("%s: the requests differ (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestOnlyTheSameHostIsRedirectedTo(t *testing.T) {
	for _, c := range []struct {
		from, location string
		plainHTTP, ok  bool
	}{
		{from: "https://a.example/t", location: "https://A.example:443/u", ok: true},
		{from: "http://a.example/t", location: "https://a.example/t", plainHTTP: true, ok: true},
		{from: "https://a.example/t", location: "http://a.example/t"},
		{from: "https://a.example/t", location: "http://a.example/t", plainHTTP: true, ok: true},
		{from: "https://a.example/t", location: "//b.example/t"},
		{from: "https://a.example/t", location: "https://a.example:8443/t"},
		{from: "https://a.example/t", location: "https://a.example.evil.example/t"},
		{from: "https://a.example/t", location: "https://a.example@evil.example/t"},
		{from: "https://[::1]:5000/t", location: "https://[::1]:5000/u", ok: true},
	} {
		from, err := url.Parse(c.from)
		if err != nil {
			t.Fatal(err)
		}
		s := tokenService{Config: Config{PlainHTTP: c.plainHTTP}}
		if _, err := s.redirected(from, c.location); (err == nil) != c.ok {
			t.Errorf("from %s to %s: %v, want %v", c.from, c.location, err, c.ok)
		}
	}
}

// A refresh token is exchanged by a POST. Services that know no POST are told it as a password,
// and are asked so from then on.
func TestRefreshTokenIsAPasswordWhereThereIsNoPost(t *testing.T) {
	for _, status := range []int{400, 401, 403, 404, 405, 501} {
		address, log := serve(t, map[string]fakeAnswer{"POST /t": {status, "", ""}, "GET /t": {200, "", good}})
		a := newAuthorizer(t, address+"/t")
		for _, repository := range []string{"a", "b"} {
			want := Access{Repository: repository, Credential: credentials.Credential{Username: "ci", IdentityToken: "ID"}}
			if got, err := a.Authorize(t.Context(), want, Authorization{}); err != nil || got.Header != "Bearer T" {
				t.Errorf("status %d: got %q, %v; want the token", status, got.Header, err)
			}
		}
		want := []string{"POST /t scope=[repository:a:pull] :", "GET /t scope=[repository:a:pull] ci:ID", "GET /t scope=[repository:b:pull] ci:ID"}
		if diff := cmp.Diff(want, *log); diff != "" {
			t.Errorf("status %d: the requests differ (-want +got):\n%s", status, diff)
		}
	}
	address, _ := serve(t, map[string]fakeAnswer{"POST /t": {401, "", `{"details":"expired"}`}, "GET /t": {403, "", ""}})
	want := Access{Repository: "a", Credential: credentials.Credential{IdentityToken: "ID"}}
	if _, err := newAuthorizer(t, address+"/t").Authorize(t.Context(), want, Authorization{}); err == nil || !strings.Contains(err.Error(), `HTTP 401 Unauthorized: "expired"`) {
		t.Errorf("a refused refresh token: %v, want the answer to the POST", err)
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
	a.Announce(t.Context(), Access{Repository: "a"}, nil)
	a.Announce(t.Context(), Access{Repository: "b"}, []string{"c"})
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

func FuzzReadToken(f *testing.F) {
	for _, seed := range []string{
		`{"token":"T","expires_in":300}`, `{"access_token":"T\n","expires_in":"3e2"}`, `{"refresh_token":"R"}`, `[]`, `<html>`, ``,
		`{"token":null,"access_token":{},"expires_in":1e999}`, "\ufeff{}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		got, err := readToken(&http.Response{Body: io.NopCloser(strings.NewReader(answer)), Request: &http.Request{URL: &url.URL{Host: "auth.example.com"}}})
		switch {
		case err != nil && got != (issued{}):
			t.Errorf("%q gives %+v and the error %v", answer, got, err)
		case err == nil && (got.value == "" || !isToken(got.value) || got.lifetime <= 0 || got.lifetime > maxLifetime):
			t.Errorf("%q gives %+v", answer, got)
		}
	})
}
