package wire

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"imagemirror/internal/credentials"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// guard stands before a registry that demands nothing. The guard reports whether a request
// passes; otherwise it has answered it.
func guard(r remoteRegistry, passes func(w http.ResponseWriter, q *http.Request) bool) {
	r.Inject(registrytest.FaultRule{Name: "guard", Fault: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if passes(w, q) {
				next.ServeHTTP(w, q)
			}
		})
	}})
}

var inRepository = regexp.MustCompile(`^/v2/(.+)/(?:manifests|blobs|tags|referrers)/`)

// repositoryOf returns the repository that a request is about, or "".
func repositoryOf(q *http.Request) string {
	m := inRepository.FindStringSubmatch(q.URL.Path)
	if m == nil {
		return ""
	}
	return m[1]
}

// refuse answers with a status and a challenge, unless that is empty. It returns false, for guard.
func refuse(w http.ResponseWriter, status int, challenge string) bool {
	if challenge != "" {
		w.Header().Set("WWW-Authenticate", challenge)
	}
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"errors":[{"code":"UNAUTHORIZED","message":"status %d"}]}`, status)
	return false
}

// issue answers a request for a token. It returns false, for guard.
func issue(w http.ResponseWriter, token string) bool {
	_, _ = fmt.Fprintf(w, `{"token":%q,"expires_in":300}`, token)
	return false
}

// wantReads compares how often a source was asked for manifests, and for tokens. A plan may ask
// for the first manifest with HEAD, which finds out how the registry authenticates.
func wantReads(t *testing.T, r remoteRegistry, manifests, tokens int) {
	t.Helper()
	got := r.Stats().Requests
	if n := got["HEAD manifest"] + got["GET manifest"]; n != manifests || got["token"] != tokens {
		t.Errorf("%d requests for manifests and %d for tokens, want %d and %d; in all %v", n, got["token"], manifests, tokens, got)
	}
}

// asCI has credentials for every registry.
var asCI = someone{Username: "ci", Password: "secret"}

// pushSmall pushes n images to the source and returns the lines that mirror them.
func pushSmall(t *testing.T, p pair, names ...string) (lines []string) {
	t.Helper()
	for _, name := range names {
		push(t, p.source, name+":v1", registrytest.NewImage(registrytest.OCI, name, "amd64"))
		lines = append(lines, line(p, name+":v1", "m/"+name+":v1"))
	}
	return lines
}

// Registries that let strangers in answer them 404 or 403 for what only members see, or 401
// without a challenge. /v2/ has the challenge: each process asks for it once.
func TestStrangersIntroduceThemselvesOnce(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusNotFound, http.StatusForbidden, http.StatusUnauthorized} {
		for _, scheme := range []string{"Basic", "Bearer"} {
			t.Run(fmt.Sprintf("%d and %s", status, scheme), func(t *testing.T) {
				t.Parallel()
				p := newPair(t)
				hide := func(host string) func(w http.ResponseWriter, q *http.Request) bool {
					return func(w http.ResponseWriter, q *http.Request) bool {
						switch {
						case q.URL.Path == "/token":
							return issue(w, "T")
						case strings.HasPrefix(q.Header.Get("Authorization"), scheme+" "):
							return true
						case q.URL.Path != "/v2/":
							return refuse(w, status, "")
						}
						return refuse(w, http.StatusUnauthorized, fmt.Sprintf("%s realm=\"http://%s/token\"", scheme, host))
					}
				}
				lines := pushSmall(t, p, "ci/a", "ci/b", "ci/c")
				guard(p.source, hide(p.source.Host))
				mirrorAs(t, settings(), asCI, lines...).allAre(t, stream.Copied)
				tokens := 2
				if scheme == "Basic" {
					tokens = 0
				}
				wantReads(t, p.source, 3+1, tokens)
				if n := p.source.Stats().Requests; n["GET blob"] != 3+1 || n["ping"] != 2 {
					t.Errorf("the source had the requests %v, want 3 and 1 of blobs, and a ping by each process", n)
				}

				// A destination too: what is hidden there is refused when it is written.
				p.destination.Reset()
				guard(p.destination, hide(p.destination.Host))
				carry(t, settings(), asCI, splitAs(t, asCI, pushSmall(t, p, "ci/d")...)).allAre(t, stream.Copied)
				if n := p.destination.Stats().Requests["ping"]; n != 2 {
					t.Errorf("the destination was asked %d times who asks, want once by each process", n)
				}
			})
		}
	}
}

// A registry that does not say how it authenticates is asked once, not for each image.
func TestMissingImagesAreMissing(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	pushSmall(t, p, "ci/a")
	var lines []string
	for _, name := range []string{"x", "y", "z"} {
		lines = append(lines, line(p, "ci/"+name+":v1", "m/"+name+":v1"))
	}
	if n := len(splitAs(t, asCI, lines...).Results); n != 3 {
		t.Errorf("%d mappings failed, want 3", n)
	}
	// With credentials, a plan greets the registry with a HEAD of one image.
	wantRequests(t, p.source, map[string]int{"HEAD manifest": 1, "GET manifest": 3, "ping": 1, "token": 0})
	p.reset()
	splitAs(t, anonymous{}, lines...)
	wantReads(t, p.source, 3, 0)
}

// JFrog Artifactory has a token service for each of its repositories, which are the first
// elements of paths. Their tokens are good for one of them only.
func TestRepositoriesMayHaveTheirOwnTokenService(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		strict  bool           // a token service refuses the others' scopes
		refused int            // requests that are answered 401
		tokens  map[string]int // asked for by split, by repository
	}{
		// The first request is not authorized; the token for all has one's service.
		{"which gives tokens for anything", false, 1 + 1, map[string]int{"one": 1, "two": 1}},
		// one refuses the token for both, and the one for two/b. So two/b is asked without.
		{"which refuses others' names", true, 1 + 1, map[string]int{"one": 3, "two": 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			lines := pushSmall(t, p, "one/a", "two/b")
			var mu sync.Mutex
			refused, tokens := 0, map[string]int{}
			guard(p.source, func(w http.ResponseWriter, q *http.Request) bool {
				mu.Lock()
				defer mu.Unlock()
				if of, ok := strings.CutSuffix(q.URL.Path, "/token"); ok {
					of = strings.TrimPrefix(of, "/")
					tokens[of]++
					if scopes := fmt.Sprint(q.URL.Query()["scope"]); c.strict && strings.Count(scopes, "repository:") != strings.Count(scopes, "repository:"+of) {
						return refuse(w, http.StatusForbidden, "")
					}
					return issue(w, "T"+of)
				}
				of, _, _ := strings.Cut(repositoryOf(q), "/")
				if q.Header.Get("Authorization") == "Bearer T"+of {
					return true
				}
				refused++
				return refuse(w, http.StatusUnauthorized, fmt.Sprintf("Bearer realm=\"/%s/token\",service=\"s\"", of))
			})
			plan := splitAs(t, asCI, lines...)
			if len(plan.Copies) != 2 || refused != c.refused || fmt.Sprint(tokens) != fmt.Sprint(c.tokens) {
				t.Errorf("%d images are to be copied, after %d refused requests and tokens of %v; want 2, %d and %v", len(plan.Copies), refused, tokens, c.refused, c.tokens)
			}
			carry(t, settings(), asCI, plan).allAre(t, stream.Copied)
		})
	}
}

// If the usual scopes are refused, by the registry or already by the token service, those in
// the challenge are used.
func TestTheRegistryMayNameTheScopes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, scope, needs string // REPO stands for the repository; needs are the scopes that give access
		status             int    // of the registry's refusal
		strict             bool   // the token service refuses other scopes
		manifests, tokens  int    // requests of split for two repositories
	}{
		{"of another repository, behind a front server that rewrites paths", "repository:internal/REPO:pull", "[repository:internal/REPO:pull]", 401, false, 1 + 2*2, 1 + 2},
		{"of another type, beside the usual one", "registry:catalog:*", "[registry:catalog:* repository:REPO:pull]", 401, false, 1 + 2*2, 1 + 2},
		{"of all repositories", "repository:*:pull", "[repository:*:pull]", 403, false, 1 + 2*2, 1 + 1},
		{"of all actions", "repository:REPO:*", "[repository:REPO:*]", 401, false, 1 + 2*2, 1 + 2},
		{"in several", "repository:x:pull  repository:REPO:pull,push", "[repository:x:pull repository:REPO:pull,push]", 401, false, 1 + 2*2, 1 + 2},
		{"but accept the usual ones", "repository:user/image:pull", "[repository:ci/a:pull repository:ci/b:pull]", 401, false, 1 + 2, 1},
		// Both are asked for, each is, and then what the registry names: for the second repository
		// once it has been asked.
		{"of another repository, and the token service knows no other", "repository:internal/REPO:pull", "[repository:internal/REPO:pull]", 401, true, 1 + 1 + 2, 1 + 2 + 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			lines := pushSmall(t, p, "ci/a", "ci/b")
			guard(p.source, func(w http.ResponseWriter, q *http.Request) bool {
				if q.URL.Path == "/token" {
					scopes := fmt.Sprint(q.URL.Query()["scope"])
					if c.strict && !strings.HasPrefix(scopes, "[repository:internal/") {
						return refuse(w, http.StatusForbidden, "")
					}
					return issue(w, strings.ReplaceAll(scopes, " ", "+"))
				}
				of := func(s string) string { return strings.ReplaceAll(s, "REPO", repositoryOf(q)) }
				sent := q.Header.Get("Authorization")
				if sent == "Bearer "+strings.ReplaceAll(of(c.needs), " ", "+") {
					return true
				}
				status := c.status
				if sent == "" {
					status = http.StatusUnauthorized
				}
				return refuse(w, status, fmt.Sprintf("Bearer realm=\"/token\",scope=%q,error=\"insufficient_scope\"", of(c.scope)))
			})
			plan := splitAs(t, asCI, lines...)
			wantReads(t, p.source, c.manifests, c.tokens)
			carry(t, settings(), asCI, plan).allAre(t, stream.Copied)
		})
	}
}

// The same at a destination. The preflight cannot know the scopes that a push takes.
func TestTheDestinationMayNameTheScopes(t *testing.T) {
	t.Parallel()
	for _, strict := range []bool{false, true} {
		t.Run(fmt.Sprintf("strict %v", strict), func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			lines := pushSmall(t, p, "ci/a", "ci/b", "ci/c")
			s := &openService{grants: func(scopes []string) (known []string) {
				for _, scope := range scopes {
					if strings.HasPrefix(scope, "repository:internal/") {
						known = append(known, strings.Replace(scope, "internal/", "", 1))
					}
				}
				return known
			}}
			guard(p.destination, func(w http.ResponseWriter, q *http.Request) bool {
				if strict && q.URL.Path == "/token" && !strings.Contains(q.URL.RawQuery, "internal") {
					return refuse(w, http.StatusForbidden, "")
				}
				actions := "pull"
				if q.Method != http.MethodGet && q.Method != http.MethodHead {
					actions = "pull,push"
				}
				return s.passesOr(w, q, fmt.Sprintf(`Bearer realm="/token",service="s",scope="repository:internal/%s:%s"`, repositoryOf(q), actions))
			})
			mirrorAs(t, settings(), asCI, lines...).allAre(t, stream.Copied)
			p.reset()
			mirrorAs(t, settings(), asCI, lines...).allAre(t, stream.Current)
		})
	}
}

// Scopes that do not help are dropped: the request goes on as if they had not been named, and
// asks for no more than it must.
func TestScopesThatDoNotHelpCostLittle(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	lines := pushSmall(t, p, "ci/a")
	asked := 0
	guard(p.source, func(w http.ResponseWriter, q *http.Request) bool {
		if q.URL.Path == "/token" {
			asked++
			return issue(w, fmt.Sprint("T", asked))
		}
		return refuse(w, http.StatusUnauthorized, fmt.Sprintf("Bearer realm=\"/token\",scope=\"repository:x%d:pull\"", asked))
	})
	if plan := splitAs(t, asCI, lines...); len(plan.Results) != 1 || plan.Results[0].Error.Status != http.StatusUnauthorized {
		t.Errorf("got the results %+v, want one that is unauthorized", plan.Results)
	}
	wantReads(t, p.source, 4, 3)
}

// A host that a registry redirects to gets no credentials, and must not name who gets them.
func TestOnlyTheRegistryNamesItsTokenService(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Header.Get("Authorization") != "" || q.URL.Path == "/token" {
			t.Errorf("%s %s with the Authorization %q went to another host", q.Method, q.URL, q.Header.Get("Authorization"))
		}
		refuse(w, http.StatusUnauthorized, fmt.Sprintf("Bearer realm=\"http://%s/token\"", q.Host))
	}))
	t.Cleanup(elsewhere.Close)
	p := newPair(t)
	lines := pushSmall(t, p, "ci/a")
	p.source.Inject(registrytest.FaultRule{Name: "away", Kind: "GET blob", Fault: registrytest.Redirect(elsewhere.URL)})
	for _, r := range mirrorAs(t, settings(), someone(credentials.Credential{Username: "ci", IdentityToken: "ID"}), lines...).results {
		if r.Status != stream.Failed || r.Error.Status != http.StatusUnauthorized {
			t.Errorf("got %+v, want what the other host answered", r)
		}
	}
}

// A token may lapse while a blob is uploaded: the registry answers 401 in the middle of it, or
// when all of it has come.
func TestTokensMayLapseDuringAnUpload(t *testing.T) {
	t.Parallel()
	const size = 4 << 20
	for _, c := range []struct {
		name string
		read int64 // bytes of the upload that the registry reads first
		rude bool  // it cuts the connection then
	}{{"at once", 0, false}, {"in the middle", size / 2, false}, {"in the middle, with a cut connection", size / 2, true}, {"at the end", size, false}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPrivatePair(t)
			push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", size)))
			p.destination.Inject(registrytest.FaultRule{
				Name: "lapse", Kind: "PUT upload", Times: 1, Match: func(q *http.Request) bool { return q.ContentLength >= size },
				Fault: func(http.Handler) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
						_, _ = io.CopyN(io.Discard, q.Body, c.read)
						p.destination.ExpireTokens()
						if c.rude {
							panic(http.ErrAbortHandler)
						}
						refuse(w, http.StatusUnauthorized, fmt.Sprintf("Bearer realm=\"http://%s/token\",error=\"invalid_token\"", q.Host))
					})
				},
			})
			mirrorAs(t, settings(), asCI, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
			wantArrived(t, p, "ci/a:v1", "m/a:v1")
		})
	}
}
