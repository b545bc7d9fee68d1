package auth

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"imagemirror/internal/credentials"
)

// token is a bearer token that is fetched when it is first wanted and again before it
// expires.
type token struct {
	credential   credentials.Credential
	scopes       []string // guarded by the Authorizer's mu until sealed; fixed from then on
	stated       int      // bytes that the scopes take; guarded like them
	repositories int      // how many were announced for it
	sealed       bool     // guarded by the Authorizer's mu: the token is being asked for

	ctx context.Context // of the last announcement for it; guarded like them

	granted atomic.Pointer[map[string][]string] // what the value states that it allows, by repository; or nil

	renew atomic.Pointer[time.Time] // when to fetch it again; nil before the first time

	prefetched chan struct{} // closed once a prefetch has ended; nil until one begins

	turn    chan struct{} // has an entry while somebody uses or fetches the token, which guards what follows
	header  string        // bearerPrefix and the value, kept so that requests need not concatenate them
	refused error         // why the token service gives no token with so many scopes
}

func newToken(credential credentials.Credential, scopes []string) *token {
	return &token{credential: credential, scopes: scopes, turn: make(chan struct{}, 1)}
}

// bearerPrefix comes before a token in an Authorization header.
const bearerPrefix = "Bearer "

// get returns the token as an Authorization header, fetched again if it has expired or has the
// value that was refused. Callers that come meanwhile wait for the same answer, until their ctx
// ends.
func (t *token) get(ctx context.Context, fetch func(context.Context) (issued, error), refused string) (string, error) {
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	if t.isFresh() && t.header[len(bearerPrefix):] != refused {
		return t.header, nil
	}
	if t.refused != nil {
		return "", t.refused
	}
	asked := time.Now()
	got, err := fetch(ctx)
	if err != nil {
		if len(t.scopes) > 1 && refusesMany(ctx, err) {
			t.refused = err
		}
		return "", err
	}
	// A request takes a while to be judged, so the last fifth of a lifetime is not used.
	renew := asked.Add(got.lifetime - min(got.lifetime/5, 30*time.Second))
	t.header = bearerPrefix + got.value
	t.renew.Store(&renew)
	t.granted.Store(nil)
	if granted := accessOf(got.value); granted != nil && onlyAsked(granted, scopedRepositories(t.scopes)) {
		t.granted.Store(&granted)
	}
	return t.header, nil
}

// isFresh reports whether the token has been fetched and need not be fetched again.
func (t *token) isFresh() bool {
	renew := t.renew.Load()
	return renew != nil && time.Now().Before(*renew)
}

// takes reports whether a repository, and all that it mounts from, can still be announced for
// the token, which may be nil. The Authorizer's mu is held.
func (t *token) takes(scope string, mountFrom []string) bool {
	if t == nil || t.sealed || t.repositories == maxRepositories {
		return false
	}
	stated := t.stated + statedLength(scope)
	for _, from := range mountFrom {
		if !t.reads(from) {
			stated += statedLength(pullScope(from))
		}
	}
	return stated <= maxStated
}

// join adds the scope of a repository and those that it mounts from. It returns those that do
// not fit. The first is always added, so that another token has fewer to take.
func (t *token) join(scope string, mountFrom []string) (rest []string) {
	t.repositories++
	t.add(scope)
	added := false
	for _, from := range mountFrom {
		switch {
		case t.reads(from):
		case added && t.stated+statedLength(pullScope(from)) > maxStated:
			rest = append(rest, from)
			continue
		default:
			t.add(pullScope(from))
		}
		added = true
	}
	return rest
}

func (t *token) add(scope string) {
	t.scopes = append(t.scopes, scope)
	t.stated += statedLength(scope)
}

// reads reports whether the token gives access to a repository.
func (t *token) reads(repository string) bool {
	return slices.ContainsFunc(t.scopes, func(s string) bool {
		return strings.HasPrefix(s, "repository:"+repository+":")
	})
}

// withholds reports whether the token shows that the service gave it nothing on a repository
// that it was asked for. Some services give a token for the first scope only.
func (t *token) withholds(repository string) bool {
	granted := t.granted.Load()
	return granted != nil && len((*granted)[repository]) == 0 && t.reads(repository)
}

// repository returns the repository of the first scope.
func (t *token) repository() string {
	_, name, _ := cutScope(t.scopes[0])
	return name
}
