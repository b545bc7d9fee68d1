package auth

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"imagemirror/internal/credentials"
)

// A service account's token is valid for the API server too, so no other host gets it.
func TestServiceAccountTokenStaysOnTheRegistrysHost(t *testing.T) {
	for _, c := range []struct {
		name       string
		credential credentials.Credential
		own        bool
		want       string
	}{
		{"on the registry's host", credentials.Credential{Username: "serviceaccount", Password: "hunter2", OnlyRegistry: true}, true, ""},
		{"elsewhere", credentials.Credential{Username: "serviceaccount", Password: "hunter2", OnlyRegistry: true}, false, "goes to registry.example.com only"},
		{"elsewhere, as a refresh token", credentials.Credential{IdentityToken: "hunter2", OnlyRegistry: true}, false, "goes to registry.example.com only"},
		{"elsewhere, with another credential", credentials.Credential{Username: "team", Password: "hunter2"}, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked atomic.Int32
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				_, _ = w.Write([]byte(`{"token":"a"}`))
			}))
			t.Cleanup(s.Close)
			a := newAuthorizer(t, s.URL+"/token")
			a.service.Own = func(*url.URL) bool { return c.own }
			_, err := a.Authorize(t.Context(), Access{Repository: "team/a", Credential: c.credential, Announced: c.credential}, Authorization{})
			if c.want == "" {
				if err != nil || asked.Load() != 1 {
					t.Errorf("after %d requests: %v", asked.Load(), err)
				}
				return
			}
			host := strings.TrimPrefix(s.URL, "http://")
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), host) || asked.Load() != 0 {
				t.Errorf("after %d requests: %v, want %q and %s", asked.Load(), err, c.want, host)
			}
		})
	}
}
