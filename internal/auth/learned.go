package auth

import (
	"net/http"
	"slices"
	"strings"

	"imagemirror/internal/credentials"
)

// accessKey is an access that a registry may name scopes for.
type accessKey struct {
	repository string
	push       bool
}

// challengeOf returns the challenge for a repository: the registry's, unless the repository
// has another. JFrog Artifactory has a token service for each of its repositories.
func (a *Authorizer) challengeOf(repository string) Challenge {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c, ok := a.own[repository]; ok {
		return c
	}
	return a.challenge
}

// admits reports whether a request with the credential has an answer to the challenge.
func (c Challenge) admits(with credentials.Credential) bool {
	return c.HasTokens() || c.scheme == basic && with.Username != ""
}

// Admits reports whether a request with the access has an answer to what the registry asked
// for so far.
func (a *Authorizer) Admits(want Access) bool {
	return a.challengeOf(want.Repository).admits(want.Credential)
}

// learnFrom notes the challenge that answered a request, and reports whether the request may
// be sent again to meet it: it carried nothing, or met another challenge. Harbor answers
// tokens that do not suffice with a challenge for Basic, which is none to meet.
func (a *Authorizer) learnFrom(want Access, c Challenge, sent Authorization) bool {
	same := c == sent.answers
	switch {
	case same && sent.step == bare:
		a.mu.Lock()
		defer a.mu.Unlock()
		a.uniform = true
		return false
	case sent.moved || sent.Header != "" && (same || sent.answers.HasTokens() && !c.HasTokens()):
		return false
	case a.Challenge().IsZero():
		a.Learn(c)
		a.mu.Lock()
		defer a.mu.Unlock()
		a.from = want.Repository
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if c == a.challenge {
		delete(a.own, want.Repository)
	} else {
		a.own[want.Repository] = c
	}
	return true
}

// Bounds on the scopes that a registry may name for a request.
const (
	maxNamed      = 8
	maxNamedBytes = 1 << 10
)

// scopesOf returns the scopes that the challenge of an answer names, or none if they are too
// many.
func scopesOf(resp *http.Response) []string {
	for _, o := range offers(resp.Header.Values("WWW-Authenticate")) {
		if o.scheme == bearer && o.params["realm"] != "" {
			scopes := strings.Fields(o.params["scope"])
			if len(scopes) > maxNamed || len(o.params["scope"]) > maxNamedBytes {
				return nil
			}
			return scopes
		}
	}
	return nil
}

// name notes the scopes that a registry names for a request, if they are others than those of
// the token that it refused. A front server that rewrites paths, for example, knows another
// repository than the client. The request's own scope is kept beside scopes that do not
// replace it, such as registry:catalog:*.
func (a *Authorizer) name(want Access, scopes []string, refused *token) bool {
	if want.MountFrom != "" || !slices.ContainsFunc(scopes, func(s string) bool { return !refused.allows(s) }) {
		return false
	}
	if !slices.ContainsFunc(scopes, func(s string) bool { return replaces(s, want) }) {
		scopes = append(scopes, want.scope())
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.named[accessKey{want.Repository, want.Push}] = scopes
	return true
}

// replaces reports whether a scope allows on some repository what the access needs on its own.
func replaces(scope string, want Access) bool {
	typ, _, actions := cutScope(scope)
	_, _, needed := cutScope(want.scope())
	return typ == "repository" && contains(actions, needed)
}

// forgetNamed drops the scopes that the registry named for an access, since they do not help.
func (a *Authorizer) forgetNamed(want Access) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.named, accessKey{want.Repository, want.Push})
}

// cutScope cuts a scope into its type, name and actions (distribution's token scope
// documentation). The name may have colons.
func cutScope(scope string) (typ, name string, actions []string) {
	typ, rest, _ := strings.Cut(scope, ":")
	i := max(0, strings.LastIndexByte(rest, ':'))
	return typ, rest[:i], strings.Split(strings.TrimPrefix(rest[i:], ":"), ",")
}

// contains reports whether actions have all that are needed.
func contains(actions, needed []string) bool {
	return slices.Contains(actions, "*") || !slices.ContainsFunc(needed, func(n string) bool { return !slices.Contains(actions, n) })
}
