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

// Auth describes what a Proxy demands of its clients.
type Auth struct {
	Basic     bool          // demand basic credentials with every request, not Bearer tokens
	Users     []User        // nil: everyone may do everything
	JWT       bool          // tokens state what they allow, which is no more than the user may do
	TokenPath string        // where tokens are issued (default /token)
	Public    bool          // requests without credentials may read without a token
	Lifetime  time.Duration // of a token (default an hour)

	// Lookup finds users that Users does not have. If it is nil, there are no others.
	Lookup func(name, password string) (User, bool)

	// Strict is the status that answers a request for a token that allows more than the user may
	// do. If it is 0, JWT decides.
	Strict int

	// RefuseScopes is the status that answers a request for a token with several scopes. If it
	// is 0, such a token is issued.
	RefuseScopes int

	// HideExpiry leaves out expires_in, which by the token specification means 60 seconds.
	HideExpiry bool
}

// A User is someone a Proxy knows, and what they may do.
type User struct {
	Name, Password string   // an empty name stands for requests without credentials
	RefreshToken   string   // that OAuth2 exchanges for an access token
	Pull, Push     []string // paths of repositories or of directories above them; "" is all
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

// A scope is some actions on a repository, as in repository:NAME:pull,push.
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

// covers reports whether a token for s allows everything in other.
func (s scope) covers(other scope) bool {
	return s.repo == other.repo && !slices.ContainsFunc(other.actions, func(action string) bool {
		return !slices.Contains(s.actions, action)
	})
}

// needs returns the scopes that a registry demands for a request. As in distribution, a push needs
// pull as well, and a mount pulls from the repository that it names.
func needs(r *http.Request, at operation) []scope {
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

// An authority decides who may do what, and issues tokens.
type authority struct {
	Auth
	self *url.URL

	signer *signer // of JWTs

	mu     sync.Mutex
	known  []User                // at first Auth's Users
	asked  int                   // requests for tokens
	grants map[string]tokenGrant // by access token
}

// A tokenGrant is what a token stands for.
type tokenGrant struct {
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
	made := &authority{Auth: a, self: self, known: a.Users, grants: map[string]tokenGrant{}}
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

// replace sets the users, and invalidates all tokens.
func (a *authority) replace(users []User) {
	a.mu.Lock()
	a.known = users
	a.mu.Unlock()
	a.expire()
}

// open lets everybody pull from a repository, with tokens that are issued from now on.
func (a *authority) open(repository string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	known := slices.Clone(a.known) // others may have it
	i := slices.IndexFunc(known, func(u User) bool { return u.Name == "" })
	if i < 0 {
		i, known = len(known), append(known, User{})
	}
	known[i].Pull = append(slices.Clip(known[i].Pull), repository)
	a.known = known
}

func (a *authority) expire() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.grants)
}

// A decision is an authority's answer to a request. A nil refusal lets it pass.
type decision struct {
	user    string
	refusal http.Handler
}

func (a *authority) judge(r *http.Request, at operation) decision {
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

// authenticate returns the grant of a request. It returns false if credentials are missing or
// wrong.
func (a *authority) authenticate(r *http.Request) (tokenGrant, bool) {
	if a.Basic {
		name, password, ok := r.BasicAuth()
		user, known := a.user(name, password)
		return tokenGrant{user: user}, ok && known
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	a.mu.Lock()
	defer a.mu.Unlock()
	g, known := a.grants[token]
	return g, ok && known && time.Now().Before(g.expires)
}

// user finds the user with the given credentials, which are empty for a request without any.
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
	// As on Docker Hub, a request without credentials gets a token, which allows nothing.
	return User{}, name == "" && password == "" && !a.Basic
}

// challenge answers 401 with the token or the credentials that the registry wants.
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

// errorAnswer returns a handler that answers with an error as the distribution specification has
// it.
func errorAnswer(status int, code, message string) http.Handler {
	body := fmt.Sprintf(`{"errors":[{"code":%q,"message":%q}]}`+"\n", code, message)
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	})
}
