package auth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"imagemirror/internal/regerror"
)

// CheckPush asks for a token to push with, as copying will, and writes nothing. It
// reports whether the token service refuses one; err is then its answer, or nil if it
// issued a token without the right. Any other error is not a refusal: it may not happen
// again when copy asks.
func (a *Authorizer) CheckPush(ctx context.Context, want Access) (refused bool, err error) {
	if a.renames(want.Repository) {
		return false, nil // only the answer to a push names the scopes that it takes
	}
	c := a.challengeOf(want.Repository)
	last := Authorization{answers: c}
	for {
		sent, err := a.tokenWith(ctx, want, last, "")
		if err != nil {
			return regerror.IsRefusal(err), err
		}
		switch got := grantOf(sent.value, sent.token.scopes, want.Repository); {
		case got == pushGranted && sent.step == alone:
			a.Accepted(sent)
			return false, nil
		case got == pushGranted || got == grantHidden:
			return false, nil
		case got == pushDenied || len(sent.token.scopes) == 1:
			return true, nil
		}
		last.step = alone
	}
}

// pushGrant is what a token shows about pushing to one of the repositories that it was
// requested for.
type pushGrant int

const (
	grantHidden  pushGrant = iota // it does not show what it allows
	pushGranted                   // push is allowed
	pushDenied                    // push is not allowed, although the token is for others, or was asked for one only
	grantUnclear                  // push is not allowed, and the service may issue tokens for one scope at a time
)

// maxReadable bounds a token that is looked into. Longer ones fit into no header anyway.
const maxReadable = 64 << 10

// grantOf looks into a token. By distribution's specification it is a JSON Web Token
// with what it allows, which may be less than was asked for, without an error. The
// registry verifies it. Opaque tokens are taken for what they were asked for.
func grantOf(value string, scopes []string, repository string) pushGrant {
	allowed := accessOf(value)
	if allowed == nil {
		return grantHidden
	}
	asked := scopedRepositories(scopes)
	if !onlyAsked(allowed, asked) {
		return grantHidden
	}
	actions := allowed[repository]
	switch {
	case slices.Contains(actions, "push") || slices.Contains(actions, "*"):
		return pushGranted
	case len(asked) == 1 || len(allowed) > 1:
		return pushDenied
	}
	return grantUnclear
}

// onlyAsked reports whether a token allows something only on repositories that it was asked
// for. Otherwise the service has names of its own for them.
func onlyAsked(allowed map[string][]string, asked map[string]bool) bool {
	for name := range allowed {
		if !asked[name] {
			return false
		}
	}
	return true
}

func scopedRepositories(scopes []string) map[string]bool {
	names := map[string]bool{}
	for _, s := range scopes {
		_, name, _ := cutScope(s)
		names[name] = true
	}
	return names
}

// accessOf returns the actions that a token allows, by repository, and nil if it does
// not show them.
func accessOf(token string) map[string][]string {
	part := strings.Split(token, ".")
	if len(token) > maxReadable || len(part) != 3 {
		return nil
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(part[1], "="))
	if err != nil {
		return nil
	}
	var claims struct {
		Access []struct {
			Type, Name string
			Actions    []string
		}
	}
	if json.Unmarshal(payload, &claims) != nil || claims.Access == nil {
		return nil
	}
	allowed := map[string][]string{}
	for _, a := range claims.Access {
		if a.Type == "repository" {
			allowed[a.Name] = append(allowed[a.Name], a.Actions...)
		}
	}
	return allowed
}
