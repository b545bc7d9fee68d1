package registrytest

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Auth is what a Proxy demands of its clients.
type Auth struct {
	Basic        bool                                     // demand basic credentials with every request, where otherwise it is Bearer tokens
	Users        []User                                   // nil: everyone may do everything
	Lookup       func(name, password string) (User, bool) // asked for those that Users has not got; nil: nobody is
	JWT          bool                                     // tokens show what they allow, which is no more than the user may do
	TokenPath    string                                   // where tokens are; "" is /token
	Public       bool                                     // whoever shows no credentials may read without a token
	Strict       int                                      // status that answers a request for a token that allows what the user may not do; 0: see JWT
	RefuseScopes int                                      // status that answers a request for a token with more than one scope; 0: it is granted
	Lifetime     time.Duration                            // of a token; 0: an hour
	HideExpiry   bool                                     // leave out expires_in, which by the token specification means 60 seconds
}

// User is someone a Proxy knows, and what is allowed to them.
type User struct {
	Name, Password string   // without a name: those who show no credentials
	RefreshToken   string   // what is taken in exchange for an access token, by OAuth2
	Pull, Push     []string // paths of repositories, or of what lies above them; "" is all of them
}

func (u User) may(s scope) bool {
	for _, action := range s.actions {
		paths := u.Push
		if action == "pull" {
			paths = u.Pull
		}
		if !slices.ContainsFunc(paths, func(path string) bool {
			return path == "" || s.repo == path || strings.HasPrefix(s.repo, path+"/")
		}) {
			return false
		}
	}
	return true
}

// scope is some actions on a repository, as repository:NAME:pull,push.
type scope struct {
	repo    string
	actions []string
}

func (s scope) String() string { return "repository:" + s.repo + ":" + strings.Join(s.actions, ",") }

func parseScope(s string) (scope, bool) {
	rest, ok := strings.CutPrefix(s, "repository:")
	i := strings.LastIndexByte(rest, ':')
	if !ok || i < 0 {
		return scope{}, false
	}
	return scope{repo: rest[:i], actions: strings.Split(rest[i+1:], ",")}, true
}

// covers says whether a token for s is good for what other needs.
func (s scope) covers(other scope) bool {
	return s.repo == other.repo && !slices.ContainsFunc(other.actions, func(action string) bool {
		return !slices.Contains(s.actions, action)
	})
}

// needs is the scopes that a registry demands for a request, as distribution does: who pushes has to be allowed to
// pull, and a mount pulls from the repository that it names.
func needs(r *http.Request, at endpoint) []scope {
	if at.repo == "" {
		return nil
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return []scope{{at.repo, []string{"pull"}}}
	case http.MethodDelete:
		return []scope{{at.repo, []string{"delete"}}}
	}
	all := []scope{{at.repo, []string{"pull", "push"}}}
	if from := r.URL.Query().Get("from"); from != "" && at.kind == "POST mount" {
		all = append(all, scope{from, []string{"pull"}})
	}
	return all
}

// authority decides who may do what, and hands out tokens.
type authority struct {
	Auth
	self *url.URL

	signer *signer // of JWTs

	mu     sync.Mutex
	known  []User           // Auth's Users, until others are set
	asked  int              // requests for tokens
	grants map[string]grant // by access token
}

// grant is what a token stands for.
type grant struct {
	user    User
	scopes  []scope
	expires time.Time
}

func newAuthority(a Auth, self *url.URL) *authority {
	if a.Lifetime == 0 {
		a.Lifetime = time.Hour
	}
	if a.TokenPath == "" {
		a.TokenPath = tokenPath
	}
	made := &authority{Auth: a, self: self, known: a.Users, grants: map[string]grant{}}
	if a.JWT {
		made.signer = newSigner()
	}
	return made
}

func (a *authority) users() []User {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.known
}

// replace changes the users. Tokens of the old ones are worthless.
func (a *authority) replace(users []User) {
	a.mu.Lock()
	a.known = users
	a.mu.Unlock()
	a.expire()
}

func (a *authority) expire() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.grants)
}

// decision is what an authority makes of a request: a nil refusal lets it pass.
type decision struct {
	user    string
	refusal http.Handler
}

func (a *authority) judge(r *http.Request, at endpoint) decision {
	wants := needs(r, at)
	if a.Public && at.repo != "" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		return decision{}
	}
	g, ok := a.authenticate(r)
	if !ok {
		return decision{"", a.challenge(wants)}
	}
	for _, want := range wants {
		switch asked := a.Basic || slices.ContainsFunc(g.scopes, func(s scope) bool { return s.covers(want) }); {
		case !asked:
			return decision{g.user.Name, a.challenge(wants)}
		case !g.user.may(want) && g.user.Name == "" && a.users() != nil:
			return decision{"", a.challenge(wants)}
		case !g.user.may(want):
			return decision{g.user.Name, errorAnswer(http.StatusForbidden, "DENIED", "requested access to the resource is denied")}
		}
	}
	return decision{g.user.Name, nil}
}

// authenticate finds out for whom a request comes. It is false where its credentials are not there or no good.
func (a *authority) authenticate(r *http.Request) (grant, bool) {
	if a.Basic {
		name, password, ok := r.BasicAuth()
		user, known := a.user(name, password)
		return grant{user: user}, ok && known
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	a.mu.Lock()
	defer a.mu.Unlock()
	g, known := a.grants[token]
	return g, ok && known && time.Now().Before(g.expires)
}

// user finds the user of some credentials, which are empty for those who show none.
func (a *authority) user(name, password string) (User, bool) {
	users := a.users()
	if users == nil {
		return User{Name: name, Pull: []string{""}, Push: []string{""}}, true
	}
	for _, u := range users {
		if u.Name == name && u.Password == password {
			return u, true
		}
	}
	if a.Lookup != nil && password != "" {
		return a.Lookup(name, password)
	}
	// Whoever shows no credentials gets a token, as on Docker Hub; it only allows nothing.
	return User{}, name == "" && password == "" && !a.Basic
}

// challenge is a 401 that says what token, or what credentials, the registry wants.
func (a *authority) challenge(wants []scope) http.Handler {
	value := `Basic realm="registrytest"`
	if !a.Basic {
		value = fmt.Sprintf(`Bearer realm="%s",service=%q`, a.self.JoinPath(a.TokenPath), a.self.Host)
		if len(wants) > 0 {
			value += fmt.Sprintf(",scope=%q", joinScopes(wants))
		}
	}
	answer := errorAnswer(http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("WWW-Authenticate", value)
		answer.ServeHTTP(w, r)
	})
}

func joinScopes(scopes []scope) string {
	var s []string
	for _, one := range scopes {
		s = append(s, one.String())
	}
	return strings.Join(s, " ")
}

// refuse is an answer with an error in the form of the distribution specification.
func errorAnswer(status int, code, message string) http.Handler {
	body := fmt.Sprintf(`{"errors":[{"code":%q,"message":%q}]}`+"\n", code, message)
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	})
}
