package auth

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/credentials"
)

// refusal returns a registry's answer with a challenge.
func refusal(status int, challenge string) *http.Response {
	h := http.Header{}
	if challenge != "" {
		h.Set("WWW-Authenticate", challenge)
	}
	return &http.Response{StatusCode: status, Header: h, Request: &http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "http", Host: "r.example", Path: "/v2/a/manifests/v1"}}}
}

// However a registry refuses a request, it ends after a few others.
func TestRefusedRequestsEnd(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"token":%q}`, r.URL.Path+strings.Join(r.URL.Query()["scope"], "+"))
	}))
	t.Cleanup(s.Close)
	login := credentials.Credential{Username: "ci", Password: "secret"}
	const own, both = "repository:a:pull", "repository:a:pull+repository:b:pull"
	always := func(challenge string) func(int) string { return func(int) string { return challenge } }
	first := func(challenge, then string) func(int) string {
		return func(n int) string {
			if n == 1 {
				return challenge
			}
			return then
		}
	}
	token := `Bearer realm="` + s.URL + `/t"`
	for _, c := range []struct {
		name      string
		with      credentials.Credential
		challenge func(n int) string // of the nth answer
		want      []string           // Authorization headers
	}{
		{"without a challenge", login, always(""), []string{""}},
		{"with a challenge for Basic", login, always("Basic"), []string{"", "Basic Y2k6c2VjcmV0"}},
		{"with a challenge for Basic, and no credentials", credentials.Credential{}, always("Basic"), []string{""}},
		{"always with the same challenge", login, always(token), []string{"", "Bearer /t" + both, "Bearer /t" + both, "Bearer /t" + own}},
		{"each time with another realm", login, func(n int) string { return fmt.Sprintf(`Bearer realm="%s/%d"`, s.URL, n) },
			[]string{"", "Bearer /1" + both, "Bearer /2" + own, "Bearer /2" + own}},
		{"each time with another scope", login, func(n int) string { return fmt.Sprintf(`%s,scope="repository:x%d:pull"`, token, n) },
			[]string{"", "Bearer /t" + both, "Bearer /trepository:x2:pull", "Bearer /t" + own}},
		{"with Bearer, then Basic", login, first(token, "Basic"), []string{"", "Bearer /t" + both, "Bearer /t" + both, "Bearer /t" + own}},
		{"with Basic, then Bearer", login, first("Basic", token), []string{"", "Basic Y2k6c2VjcmV0", "Bearer /t" + own, "Bearer /t" + own}},
		{"with a token in the credentials", credentials.Credential{RegistryToken: "R"}, always(token), []string{"", "Bearer R"}},
	} {
		a := newAuthorizer(t, "")
		a.challenge = Challenge{}
		a.Announce(t.Context(), Access{Repository: "a", Announced: c.with}, []string{"b"})
		want := Access{Repository: "a", Credential: c.with, Announced: c.with}
		var got []string
		sent, ok := Authorization{}, true
		for ok && len(got) < 20 {
			var err error
			if sent, err = a.Authorize(t.Context(), want, sent); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			got = append(got, sent.Header)
			sent, ok = a.Again(refusal(http.StatusUnauthorized, c.challenge(len(got))), want, sent)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("refused %s (-want +got):\n%s", c.name, diff)
		}
	}
}
