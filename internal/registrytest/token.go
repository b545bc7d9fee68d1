package registrytest

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// maxForm bounds the body of a request for a token.
const maxForm = 64 << 10

// ServeHTTP issues tokens in both ways of the token specification: GET with basic credentials
// or none, and OAuth2's POST with a refresh token or a password.
func (a *authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.asked++
	a.mu.Unlock()
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		errorAnswer(http.StatusBadRequest, "UNSUPPORTED", "the form is malformed").ServeHTTP(w, r)
		return
	}
	user, ok := a.applicant(r)
	if !ok {
		errorAnswer(http.StatusUnauthorized, "UNAUTHORIZED", "incorrect username or password").ServeHTTP(w, r)
		return
	}
	// GET repeats the parameter; OAuth2 joins the scopes with spaces. Both accept either.
	asked := strings.Fields(strings.Join(r.Form["scope"], " "))
	if len(asked) > 1 && a.RefuseScopes != 0 {
		errorAnswer(a.RefuseScopes, "UNSUPPORTED", "a token has one scope").ServeHTTP(w, r)
		return
	}
	token, ok := a.issue(user, asked)
	if !ok {
		errorAnswer(a.Strict, "DENIED", "requested access to the resource is denied").ServeHTTP(w, r)
		return
	}
	a.answer(w, r, token)
}

// applicant returns the user who asks for a token. It returns false if the credentials are wrong.
func (a *authority) applicant(r *http.Request) (User, bool) {
	if r.Method != http.MethodPost {
		name, password, _ := r.BasicAuth()
		return a.user(name, password)
	}
	switch r.PostForm.Get("grant_type") {
	case "password":
		return a.user(r.PostForm.Get("username"), r.PostForm.Get("password"))
	case "refresh_token":
		for _, u := range a.users() {
			if u.RefreshToken != "" && u.RefreshToken == r.PostForm.Get("refresh_token") {
				return u, true
			}
		}
	}
	return User{}, false
}

// issue returns a token for the scopes asked for. It returns false if the service is strict and
// the user may not do all of it.
func (a *authority) issue(user User, asked []string) (token string, ok bool) {
	g := tokenGrant{user: user, expires: time.Now().Add(a.Lifetime)}
	for _, s := range asked {
		parsed, ok := parseScope(s)
		if !ok {
			continue
		}
		allowed := a.allowed(user, parsed)
		if len(allowed.actions) < len(parsed.actions) && a.Strict != 0 {
			return "", false
		}
		if a.JWT {
			parsed = allowed
		}
		if len(parsed.actions) > 0 {
			g.scopes = append(g.scopes, parsed)
		}
	}
	token = rand.Text()
	if a.JWT {
		token = a.signer.sign(a.self.Host, g)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.grants[token] = g
	return token, true
}

// allowed returns the part of a scope that the user may have.
func (a *authority) allowed(user User, s scope) scope {
	allowed := scope{repo: s.repo}
	for _, action := range s.actions {
		if a.users() == nil || user.may(scope{s.repo, []string{action}}) {
			allowed.actions = append(allowed.actions, action)
		}
	}
	return allowed
}

func (a *authority) answer(w http.ResponseWriter, r *http.Request, token string) {
	body := map[string]any{"access_token": token}
	if r.Method != http.MethodPost {
		body["token"] = token
	}
	if !a.HideExpiry {
		body["expires_in"] = int(a.Lifetime.Seconds())
	}
	w.Header().Set("Content-Type", "application/json")
	// A client that is gone misses its token.
	_ = json.NewEncoder(w).Encode(body)
}
