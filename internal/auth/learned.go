package auth

import (
	"net/http"
	"slices"
	"strings"

	"imagemirror/internal/credentials"
)

// accessKey is an access that a registry may name scopes for.
type accessKey struct {
	repository   string
	push, delete bool
}

func (a Access) key() accessKey { return accessKey{a.Repository, a.Push, a.Delete} }

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

// meet notes the challenge to a request that carried nothing, with the scopes that it names.
// It reports whether the request may be sent again to meet the challenge, and returns how.
func (a *Authorizer) meet(want Access, c Challenge, scopes []string, sent Authorization) (next Authorization, ok bool) {
	asked := sent.step == bare
	other := a.setChallenge(want.Repository, c)
	foreign := !want.mounts() && lacks(want.scopes(), scopes)
	next = sent
	next.step, next.moved, next.named = shared, asked, asked && foreign
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case foreign && asked:
		a.named[want.key()] = want.replacedBy(scopes)
	case foreign:
		a.hinted[want.key()] = want.replacedBy(scopes)
	case !want.mounts():
		a.plain[firstElement(want.Repository)] = true
	}
	return next, c.admits(want.Credential) && (!asked || other || foreign)
}

// move notes the challenge to a request that carried the answer to another one. It reports
// whether the request may be sent again to meet it, which happens once. Harbor answers tokens
// that do not suffice with a challenge for Basic, which move ignores.
func (a *Authorizer) move(want Access, c Challenge, sent Authorization) bool {
	if sent.moved || c == sent.answers || sent.answers.HasTokens() && !c.HasTokens() {
		return false
	}
	a.setChallenge(want.Repository, c)
	return true
}

// PresumeBasic makes Basic the registry's challenge if it has stated none: some demand
// credentials and do not say in which form.
func (a *Authorizer) PresumeBasic() {
	if a.Challenge().IsZero() {
		a.Learn(Challenge{scheme: basic})
	}
}

// setChallenge notes a repository's challenge: the registry's, if it is the first. It reports
// whether it was another.
func (a *Authorizer) setChallenge(repository string, c Challenge) bool {
	if c == a.challengeOf(repository) {
		return false
	}
	if a.Challenge().IsZero() {
		a.Learn(c)
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.own[repository] = c
	return true
}

// Bounds on the scopes that a registry may name for a request.
const (
	maxNamed      = 8
	maxNamedBytes = 1 << 10
)

// scopesOf returns the scopes that the challenge of an answer names, or none if they are too
// many. To cancel an upload, distribution demands the right to delete, which no token should
// have for that.
func scopesOf(resp *http.Response) []string {
	if r := resp.Request; r != nil && r.Method == http.MethodDelete && !strings.Contains(r.URL.Path, "/manifests/") {
		return nil
	}
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
// repository than the client.
func (a *Authorizer) name(want Access, scopes []string, refused *token) bool {
	if want.mounts() || !lacks(refused.scopes, scopes) {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.named[want.key()] = want.replacedBy(scopes)
	return true
}

// useHint makes the scopes that the registry named for an access, when it was challenged, the
// ones to ask for. It reports whether there are any.
func (a *Authorizer) useHint(want Access) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	scopes, ok := a.hinted[want.key()]
	if !ok || want.mounts() {
		return false
	}
	a.named[want.key()] = scopes
	return true
}

// renames reports whether the registry named other scopes than the usual one for a repository.
func (a *Authorizer) renames(repository string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	read := Access{Repository: repository}.key()
	return len(a.named[read]) > 0 || len(a.hinted[read]) > 0
}

// replacedBy returns the scopes to ask for if a registry names some: those alone if one of them
// allows on some repository what the access needs on its own. Otherwise, as with
// registry:catalog:*, the usual scope is kept beside them.
func (a Access) replacedBy(scopes []string) []string {
	_, _, needed := cutScope(a.scope())
	for _, s := range scopes {
		if typ, _, actions := cutScope(s); typ == "repository" && contains(actions, needed) {
			return scopes
		}
	}
	return append(slices.Clone(scopes), a.scope())
}

// forgetNamed drops the scopes that the registry named for an access, since they do not help. It
// reports whether there were any.
func (a *Authorizer) forgetNamed(want Access) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.named[want.key()]
	delete(a.named, want.key())
	delete(a.hinted, want.key())
	return ok
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

// lacks reports whether some scopes allow something that granted do not.
func lacks(granted, scopes []string) bool {
	return slices.ContainsFunc(scopes, func(scope string) bool {
		typ, name, needed := cutScope(scope)
		return !slices.ContainsFunc(granted, func(s string) bool {
			hasType, hasName, actions := cutScope(s)
			return hasType == typ && hasName == name && contains(actions, needed)
		})
	})
}
