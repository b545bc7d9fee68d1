package registrytest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// ask asks a Proxy for a token and returns the status and the answer.
func ask(t *testing.T, p *Proxy, user, password string, scopes ...string) (int, map[string]any) {
	t.Helper()
	query := url.Values{"service": {p.Host}, "scope": scopes}
	target := url.URL{Scheme: "http", Host: p.Host, Path: "/token", RawQuery: query.Encode()}
	if user != "" {
		target.User = url.UserPassword(user, password)
	}
	resp, body := call(t, http.MethodGet, target.String(), nil)
	return resp.StatusCode, object(t, body)
}

func object(t *testing.T, body string) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal([]byte(body), &o); err != nil {
		t.Fatalf("%q is no JSON: %v", body, err)
	}
	return o
}

func bearer(t *testing.T, answer map[string]any) string {
	t.Helper()
	token, ok := answer["token"].(string)
	if !ok {
		t.Fatalf("no token in %v", answer)
	}
	return "Bearer " + token
}

func TestChallengeNamesScopes(t *testing.T) {
	p := NewProxy(t, InProcess(t), ProxyOptions{Auth: &Auth{}})
	for _, test := range []struct {
		method, path, scope string
	}{
		{"GET", "/v2/", ""},
		{"GET", "/v2/a/b/manifests/v1", `,scope="repository:a/b:pull"`},
		{"GET", "/v2/a/b/tags/list", `,scope="repository:a/b:pull"`},
		{"PUT", "/v2/a/b/manifests/v1", `,scope="repository:a/b:pull,push"`},
		{"POST", "/v2/a/blobs/uploads/?mount=sha256:1&from=b", `,scope="repository:a:pull,push repository:b:pull"`},
	} {
		resp, _ := call(t, test.method, "http://"+p.Host+test.path, nil)
		want := fmt.Sprintf(`Bearer realm="http://%s/token",service=%q%s`, p.Host, p.Host, test.scope)
		if got := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != http.StatusUnauthorized || got != want {
			t.Errorf("%s %s: got %d %q, want 401 %q", test.method, test.path, resp.StatusCode, got, want)
		}
	}
}

func TestTokensAllowTheirScopesOnly(t *testing.T) {
	p := NewProxy(t, Distribution(t, DistributionOptions{}), ProxyOptions{Auth: &Auth{}})
	for _, test := range []struct {
		name, scope, method, path string
		want                      int
	}{
		{"pull", "repository:a:pull", "GET", "/v2/a/manifests/v1", http.StatusNotFound},
		{"pull elsewhere", "repository:b:pull", "GET", "/v2/a/manifests/v1", http.StatusUnauthorized},
		{"push with pull", "repository:a:pull", "POST", "/v2/a/blobs/uploads/", http.StatusUnauthorized},
		{"push", "repository:a:pull,push", "POST", "/v2/a/blobs/uploads/", http.StatusAccepted},
		{"mount with one scope", "repository:a:pull,push", "POST", "/v2/a/blobs/uploads/?mount=sha256:1&from=b", http.StatusUnauthorized},
		{"mount with both", "repository:a:pull,push repository:b:pull", "POST", "/v2/a/blobs/uploads/?mount=sha256:1&from=b", http.StatusAccepted},
		{"ping with any", "repository:b:pull", "GET", "/v2/", http.StatusOK},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, answer := ask(t, p, "", "", test.scope)
			resp, body := call(t, test.method, "http://"+p.Host+test.path, nil, "Authorization", bearer(t, answer))
			if resp.StatusCode != test.want {
				t.Errorf("got %d %s, want %d", resp.StatusCode, body, test.want)
			}
		})
	}
}

func TestTokensForManyScopesMayBeRefused(t *testing.T) {
	scopes := []string{"repository:a:pull", "repository:b:pull"}
	for _, want := range []int{http.StatusBadRequest, http.StatusForbidden} {
		p := NewProxy(t, InProcess(t), ProxyOptions{Auth: &Auth{RefuseScopes: want}})
		if got, _ := ask(t, p, "", "", scopes...); got != want {
			t.Errorf("two scopes: got %d, want %d", got, want)
		}
		if got, _ := ask(t, p, "", "", scopes[0]); got != http.StatusOK {
			t.Errorf("one scope: got %d", got)
		}
	}
}

func TestTokensExpire(t *testing.T) {
	p := NewProxy(t, InProcess(t), ProxyOptions{Auth: &Auth{Lifetime: 90 * time.Second}})
	_, answer := ask(t, p, "", "", "repository:a:pull")
	if got := answer["expires_in"]; got != 90.0 {
		t.Errorf("expires_in: got %v, want 90", got)
	}
	ping := func() int {
		resp, _ := call(t, http.MethodGet, "http://"+p.Host+"/v2/", nil, "Authorization", bearer(t, answer))
		return resp.StatusCode
	}
	if got := ping(); got != http.StatusOK {
		t.Errorf("fresh: got %d", got)
	}
	p.ExpireTokens()
	if got := ping(); got != http.StatusUnauthorized {
		t.Errorf("expired: got %d", got)
	}

	p = NewProxy(t, InProcess(t), ProxyOptions{Auth: &Auth{Lifetime: time.Nanosecond, HideExpiry: true}})
	_, answer = ask(t, p, "", "", "repository:a:pull")
	if got, told := answer["expires_in"]; told {
		t.Errorf("expires_in: got %v, want none", got)
	}
	if got := ping(); got != http.StatusUnauthorized {
		t.Errorf("after its lifetime: got %d", got)
	}
}

func TestFaultsStrikeTokens(t *testing.T) {
	p := NewProxy(t, InProcess(t), ProxyOptions{Auth: &Auth{}})
	p.Inject(FaultRule{Kind: "token", Times: 1, Fault: Status(http.StatusServiceUnavailable, "{}")})
	for _, want := range []int{http.StatusServiceUnavailable, http.StatusOK} {
		if got, _ := ask(t, p, "", "", "repository:a:pull"); got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
}

func team() []User {
	return []User{
		{Name: "ann", Password: "secret", RefreshToken: "ann's", Pull: []string{""}, Push: []string{"team"}},
		{Pull: []string{"public"}},
	}
}

func TestUsersMayDoWhatTheyAreAllowed(t *testing.T) {
	for _, test := range []struct {
		name, user, method, path string
		want                     int
		code                     string
	}{
		{"push below the path", "ann", "POST", "/v2/team/a/blobs/uploads/", http.StatusAccepted, ""},
		{"push to the path", "ann", "POST", "/v2/team/blobs/uploads/", http.StatusAccepted, ""},
		{"push beside it", "ann", "POST", "/v2/teammates/blobs/uploads/", http.StatusForbidden, "DENIED"},
		{"pull beside it", "ann", "GET", "/v2/teammates/manifests/v1", http.StatusNotFound, ""},
		{"anonymous pull", "", "GET", "/v2/public/a/manifests/v1", http.StatusNotFound, ""},
		{"anonymous pull elsewhere", "", "GET", "/v2/team/manifests/v1", http.StatusUnauthorized, "UNAUTHORIZED"},
		{"anonymous push", "", "POST", "/v2/public/a/blobs/uploads/", http.StatusUnauthorized, "UNAUTHORIZED"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := NewProxy(t, Distribution(t, DistributionOptions{}), ProxyOptions{Auth: &Auth{Users: team()}})
			repo := operationOf(request(t, test.method, test.path)).repo
			_, answer := ask(t, p, test.user, "secret", "repository:"+repo+":pull,push")
			resp, body := call(t, test.method, "http://"+p.Host+test.path, nil, "Authorization", bearer(t, answer))
			if resp.StatusCode != test.want || !strings.Contains(body, test.code) {
				t.Errorf("got %d %s, want %d %s", resp.StatusCode, body, test.want, test.code)
			}
			log := p.Log()
			if got := log[len(log)-1]; got.User != test.user || got.Scheme != "Bearer" {
				t.Errorf("the log says %q with %q, want %q with Bearer", got.User, got.Scheme, test.user)
			}
		})
	}
}

func request(t *testing.T, method, target string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTokensNeedCredentials(t *testing.T) {
	p := NewProxy(t, InProcess(t), ProxyOptions{Auth: &Auth{Users: team()}})
	if got, _ := ask(t, p, "ann", "guess", "repository:a:pull"); got != http.StatusUnauthorized {
		t.Errorf("wrong password: got %d, want 401", got)
	}
	for _, test := range []struct {
		name string
		form url.Values
		want int
	}{
		{"refresh token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"ann's"}}, http.StatusOK},
		{"another's refresh token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"bob's"}}, http.StatusUnauthorized},
		{"no refresh token", url.Values{"grant_type": {"refresh_token"}}, http.StatusUnauthorized},
		{"password", url.Values{"grant_type": {"password"}, "username": {"ann"}, "password": {"secret"}}, http.StatusOK},
		{"wrong password", url.Values{"grant_type": {"password"}, "username": {"ann"}, "password": {"guess"}}, http.StatusUnauthorized},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.form.Set("scope", "repository:team:pull,push repository:a:pull")
			resp, body := call(t, http.MethodPost, "http://"+p.Host+"/token", []byte(test.form.Encode()),
				"Content-Type", "application/x-www-form-urlencoded")
			if resp.StatusCode != test.want {
				t.Fatalf("got %d %s, want %d", resp.StatusCode, body, test.want)
			}
			if test.want != http.StatusOK {
				return
			}
			token, _ := object(t, body)["access_token"].(string)
			resp, body = call(t, http.MethodGet, "http://"+p.Host+"/v2/a/manifests/v1", nil, "Authorization", "Bearer "+token)
			if resp.StatusCode != http.StatusNotFound {
				t.Errorf("with the token: got %d %s", resp.StatusCode, body)
			}
		})
	}
}

func TestBasicAuthentication(t *testing.T) {
	p := NewProxy(t, InProcess(t), ProxyOptions{Auth: &Auth{Basic: true, Users: team()}})
	for _, test := range []struct {
		name, user, path string
		want             int
	}{
		{"nobody", "", "/v2/", http.StatusUnauthorized},
		{"somebody", "ann:secret@", "/v2/", http.StatusOK},
		{"wrong password", "ann:guess@", "/v2/", http.StatusUnauthorized},
	} {
		resp, _ := call(t, http.MethodGet, "http://"+test.user+p.Host+test.path, nil)
		challenge := strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Basic ")
		if resp.StatusCode != test.want || challenge != (test.want == http.StatusUnauthorized) {
			t.Errorf("%s: got %d, challenge %t, want %d", test.name, resp.StatusCode, challenge, test.want)
		}
	}
	resp, body := call(t, http.MethodPost, "http://ann:secret@"+p.Host+"/v2/elsewhere/blobs/uploads/", nil)
	if resp.StatusCode != http.StatusForbidden || !strings.Contains(body, "DENIED") {
		t.Errorf("push elsewhere: got %d %s, want 403 DENIED", resp.StatusCode, body)
	}
}

// The client is go-containerregistry, which pushes with tokens.
func TestClientsUnderstandTheChallenge(t *testing.T) {
	p := NewProxy(t, Distribution(t, DistributionOptions{}), ProxyOptions{Auth: &Auth{Users: team()}})
	img, err := random.Image(1000, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		repo string
		ok   bool
	}{{"team/a", true}, {"other/a", false}} {
		ref, err := name.NewTag(p.Host + "/" + test.repo + ":v1")
		if err != nil {
			t.Fatal(err)
		}
		err = remote.Write(ref, img, remote.WithContext(t.Context()), remote.WithAuth(&authn.Basic{Username: "ann", Password: "secret"}))
		if (err == nil) != test.ok {
			t.Errorf("%s: got %v, want success: %t", test.repo, err, test.ok)
		}
	}
}
