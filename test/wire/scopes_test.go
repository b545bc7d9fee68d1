package wire

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// An openService issues JSON Web Tokens, which nobody has signed, and accepts them before a
// registry.
type openService struct {
	grants  func(scopes []string) []string // of the scopes that were asked for; nil: all
	opaque  bool                           // tokens do not show what they allow
	most    int                            // bytes of an Authorization header that the front server accepts; 0: any
	tooLong int                            // status of a longer one

	mu      sync.Mutex
	longest int                 // bytes of an Authorization header that came
	opened  map[string][]string // scopes of opaque tokens
}

type access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

func (s *openService) passes(w http.ResponseWriter, q *http.Request) bool {
	return s.passesOr(w, q, `Bearer realm="/token",service="s"`)
}

// passesOr answers a request that does not pass with a challenge.
func (s *openService) passesOr(w http.ResponseWriter, q *http.Request, challenge string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	sent, ok := strings.CutPrefix(q.Header.Get("Authorization"), "Bearer ")
	switch {
	case q.URL.Path == "/token":
		return issue(w, s.token(q.URL.Query()["scope"]))
	case q.URL.Path == "/v2/":
		return true
	case !ok:
		return refuse(w, http.StatusUnauthorized, challenge)
	}
	s.longest = max(s.longest, len(q.Header.Get("Authorization")))
	if s.most > 0 && len(q.Header.Get("Authorization")) > s.most {
		w.WriteHeader(s.tooLong)
		_, _ = fmt.Fprint(w, "<html><title>Request Header Or Cookie Too Large</title></html>")
		return false
	}
	needs := []access{{"repository", repositoryOf(q), []string{"pull"}}}
	if q.Method != http.MethodGet && q.Method != http.MethodHead {
		needs[0].Actions = []string{"pull", "push"}
	}
	if from := q.URL.Query().Get("from"); from != "" {
		needs = append(needs, access{"repository", from, []string{"pull"}})
	}
	for _, need := range needs {
		if !slices.ContainsFunc(s.allowed(sent), func(a access) bool {
			return a.Name == need.Name && !slices.ContainsFunc(need.Actions, func(n string) bool { return !slices.Contains(a.Actions, n) })
		}) {
			return refuse(w, http.StatusUnauthorized, challenge)
		}
	}
	return true
}

func (s *openService) token(scopes []string) string {
	if s.grants != nil {
		scopes = s.grants(scopes)
	}
	if s.opaque {
		if s.opened == nil {
			s.opened = map[string][]string{}
		}
		token := fmt.Sprint("T", len(s.opened))
		s.opened[token] = scopes
		return token
	}
	payload, err := json.Marshal(map[string]any{"iss": "test", "exp": 1900000000, "access": accesses(scopes)})
	if err != nil {
		panic(err)
	}
	return "e30." + base64.RawURLEncoding.EncodeToString(payload) + "." + strings.Repeat("s", 342)
}

func (s *openService) allowed(token string) []access {
	if s.opaque {
		return accesses(s.opened[token])
	}
	var claims struct{ Access []access }
	payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	_ = json.Unmarshal(payload, &claims)
	return claims.Access
}

func accesses(scopes []string) []access {
	all := []access{}
	for _, s := range scopes {
		part := strings.Split(s, ":")
		all = append(all, access{part[0], part[1], strings.Split(part[2], ",")})
	}
	return all
}

// manySources returns lines that copy n images to repositories of their own, and a tag for each
// of these images to one more repository: all of its blobs are mounted.
func manySources(t *testing.T, p pair, n int) (lines []string) {
	t.Helper()
	for i := range n {
		name := fmt.Sprintf("ci/team-%03d-component", i)
		push(t, p.source, name+":v1", registrytest.NewImage(registrytest.OCI, name, "amd64"))
		lines = append(lines,
			line(p, name+":v1", fmt.Sprintf("openshift-project/team-%03d-component:v1", i)),
			line(p, name+":v1", fmt.Sprintf("openshift-project/all:t%d", i)))
	}
	return lines
}

// A token grows with its scopes, and front servers accept headers of a few kilobytes. A
// repository that mounts from many others gets several tokens.
func TestTokensStayShort(t *testing.T) {
	t.Parallel()
	const n = 60
	p := newPair(t)
	lines := manySources(t, p, n)
	s := &openService{}
	guard(p.destination, s.passes)
	mirrorAs(t, settings(), asCI, lines...).allAre(t, stream.Copied)
	if s.longest > 3200 {
		t.Errorf("a header has %d bytes, want no more than 3200", s.longest)
	}
	stats := p.destination.Stats()
	// 61 repositories need 4 tokens to read and 4 for the preflight. To copy, 60 need 3, and the
	// one that mounts from all others needs 3 more.
	if asked := stats.Requests["token"]; asked != 14 {
		t.Errorf("%d tokens were asked for, want 14", asked)
	}
	if mounted := len(stats.Mounted); mounted != n {
		t.Errorf("%d blobs were mounted, want %d: %v", mounted, n, stats.Requests)
	}
}

// A token that is too long for a front server is replaced by one for the request only. Each
// process notices that once for each request in flight at most.
func TestShorterTokensFollowOnesThatAreTooLong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ status, slots int }{{400, 8}, {413, 8}, {414, 8}, {431, 8}, {414, 1}, {431, 2}} {
		t.Run(fmt.Sprintf("%d with %d slots", c.status, c.slots), func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			lines := manySources(t, p, 12)
			s := &openService{most: 1000, tooLong: c.status}
			guard(p.source, s.passes)
			guard(p.destination, s.passes)
			config := settings()
			config.Concurrency = c.slots
			mirrorAs(t, config, asCI, lines...).allAre(t, stream.Copied)
			for _, r := range []remoteRegistry{p.source, p.destination} {
				refused := 0
				for _, q := range r.Log() {
					if q.Status == c.status {
						refused++
					}
				}
				if most := 2 * c.slots; refused == 0 || refused > most {
					t.Errorf("%d requests were refused, want some, and at most %d", refused, most)
				}
			}
			if mounted := len(p.destination.Stats().Mounted); mounted != 12 {
				t.Errorf("%d blobs were mounted, want 12: a token for two is short enough", mounted)
			}
		})
	}
}

// A registry's own 400 is no word about its token.
func TestErrorsOfTheRegistryKeepTheToken(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	lines := manySources(t, p, 5)
	refusal := registrytest.Status(http.StatusBadRequest, `{"errors":[{"code":"UNSUPPORTED","message":"no"}]}`)
	s := &openService{}
	p.source.Inject(registrytest.FaultRule{Name: "guard", Fault: func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if s.passes(w, q) {
				refusal(nil).ServeHTTP(w, q)
			}
		})
	}})
	if n := len(splitAs(t, asCI, lines...).Results); n != 10 {
		t.Errorf("%d mappings failed, want 10", n)
	}
	wantReads(t, p.source, 1+5, 1)
}

// Some token services give a token for the first scope only, without an error. If the token
// shows that, no request is refused with it; otherwise the registry's answer shows it.
func TestTokensForTheFirstScopeOnly(t *testing.T) {
	t.Parallel()
	for _, opaque := range []bool{false, true} {
		t.Run(fmt.Sprintf("opaque %v", opaque), func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			lines := manySources(t, p, 6)
			s := &openService{grants: func(scopes []string) []string { return scopes[:1] }, opaque: opaque}
			guard(p.source, s.passes)
			guard(p.destination, s.passes)
			plan := splitAs(t, asCI, lines...)
			got := p.source.Stats().Requests
			// No repository needs more than the token for all, and one of its own.
			if n := got["HEAD manifest"] + got["GET manifest"]; !opaque && (n != 6+1 || got["token"] > 1+6) {
				t.Errorf("the source had the requests %v, want 7 for manifests, of which the first is refused, and at most 7 for tokens", got)
			}
			carry(t, settings(), asCI, plan).allAre(t, stream.Copied)
		})
	}
}

// A token service may fail, and not only refuse, if it is asked for several scopes.
func TestAServiceThatFailsOnManyScopesIsAskedForFewer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status, asked int // how often the token for all is asked for
	}{{http.StatusInternalServerError, 3}, {http.StatusNotImplemented, 1}, {http.StatusRequestURITooLong, 1}, {http.StatusOK, 1}} {
		t.Run(fmt.Sprint(c.status), func(t *testing.T) {
			t.Parallel()
			p := pair{newRegistry(t, &registrytest.Auth{}), newRegistry(t, nil)}
			lines := pushSmall(t, p, "ci/a", "ci/b", "ci/c", "ci/d")
			several := func(q *http.Request) bool { return len(q.URL.Query()["scope"]) > 1 }
			p.source.Inject(registrytest.FaultRule{Name: "several", Kind: "token", Match: several, Fault: registrytest.Status(c.status, "{}")})
			plan := splitAs(t, asCI, lines...)
			wantReads(t, p.source, 1+4, c.asked+4)
			if len(plan.Copies) != 4 {
				t.Errorf("%d images are to be copied, want 4", len(plan.Copies))
			}
		})
	}
}
