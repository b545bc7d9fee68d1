package auth

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"imagemirror/internal/credentials"
)

// token is a bearer token that is fetched when it is first wanted and again before it
// expires.
type token struct {
	credential   credentials.Credential
	scopes       []string // guarded by the Authorizer's mu until sealed; fixed from then on
	repositories int      // how many were announced for it
	sealed       bool     // guarded by the Authorizer's mu: the token is being asked for

	mu      sync.Mutex
	value   string
	renew   time.Time // when to fetch it again
	refused error     // why the token service gives no token with so many scopes
}

// get returns the token, fetched again if it has expired or is the one that was refused.
// Callers that come meanwhile wait for the same answer.
func (t *token) get(ctx context.Context, fetch func(context.Context) (issued, error), refused string) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.value != "" && t.value != refused && time.Now().Before(t.renew) {
		return t.value, nil
	}
	if t.refused != nil {
		return "", t.refused
	}
	asked := time.Now()
	got, err := fetch(ctx)
	if err != nil {
		if len(t.scopes) > 1 && refuses(err) {
			t.refused = err
		}
		return "", err
	}
	// A request takes a while to be judged, so the last fifth of a lifetime is not used.
	t.value, t.renew = got.value, asked.Add(got.lifetime-min(got.lifetime/5, 30*time.Second))
	return t.value, nil
}

// begun reports whether the token has a value, or is being fetched.
func (t *token) begun() bool {
	if !t.mu.TryLock() {
		return true
	}
	defer t.mu.Unlock()
	return t.value != ""
}

// reads reports whether the token gives access to a repository.
func (t *token) reads(repository string) bool {
	return slices.ContainsFunc(t.scopes, func(s string) bool {
		return strings.HasPrefix(s, "repository:"+repository+":")
	})
}
