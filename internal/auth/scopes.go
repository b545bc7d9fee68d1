package auth

import (
	"context"
	"errors"
	"slices"
	"strings"

	"imagemirror/internal/credentials"
)

// maxRepositories is how many repositories one token is asked for. Each scope makes the token,
// which goes with every request, some 100 bytes longer, and the usual front servers accept 8
// KB of headers.
const maxRepositories = 20

type tokenKey struct {
	credential credentials.Credential
	scopes     string
}

type batchKey struct {
	credential credentials.Credential
	push       bool
}

// Announce says that access to a repository, and mounting from others, will be wanted, so that
// one token can be asked for many repositories. A repository that is announced again joins
// another token only if its own does not read all of mountFrom.
func (a *Authorizer) Announce(want Access, mountFrom []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := tokenKey{want.Announced, want.scope()}
	missing := func(t *token) []string {
		return slices.DeleteFunc(slices.Clone(mountFrom), func(from string) bool { return from == want.Repository || t.reads(from) })
	}
	if t := a.batches[key]; t != nil && len(missing(t)) == 0 {
		return
	}
	group := batchKey{want.Announced, want.Push}
	t := a.open[group]
	if t == nil || t.repositories == maxRepositories || t.sealed {
		t = &token{credential: want.Announced}
		a.open[group] = t
		a.wanted[want.Push] = append(a.wanted[want.Push], t)
	}
	t.repositories++
	t.scopes = append(t.scopes, want.scope())
	for _, from := range missing(t) {
		t.scopes = append(t.scopes, pullScope(from))
	}
	a.batches[key] = t
}

// prefetch begins to get the announced tokens that push, or those that only read, before
// requests wait for them. Each takes a request slot: a registry may be its own token
// service. If there is one slot only, the request that has it gets the token.
func (a *Authorizer) prefetch(ctx context.Context, c Challenge, push bool) {
	a.mu.Lock()
	wanted := a.wanted[push]
	a.wanted[push] = nil
	a.mu.Unlock()
	if len(wanted) > 0 && a.service.Slots.Several() {
		go a.prefetchAll(ctx, c, wanted)
	}
}

// prefetchAll gets tokens, side by side once one with several scopes was accepted. It stops at
// the first that it does not get: the request that needs it will report why.
func (a *Authorizer) prefetchAll(ctx context.Context, c Challenge, wanted []*token) {
	for _, t := range wanted {
		if t.begun() {
			continue
		}
		if a.service.Slots.Acquire(ctx) != nil {
			return
		}
		get := func() error {
			defer a.service.Slots.Release()
			_, err := a.valueOf(ctx, t, c, "", t.credential)
			return err
		}
		if a.isProved() {
			go func() { _ = get() }()
		} else if get() != nil {
			return
		}
	}
}

// errFewerScopes means that a token has to be asked for again, with fewer scopes.
var errFewerScopes = errors.New("a token may not have so many scopes")

// valueOf returns a token's value.
func (a *Authorizer) valueOf(ctx context.Context, t *token, c Challenge, refused string, with credentials.Credential) (string, error) {
	many := a.seal(t)
	ask := func(ctx context.Context) (issued, error) {
		if many > 1 {
			return a.askForMany(ctx, t, c, with)
		}
		return a.service.fetch(ctx, c, with, t.scopes)
	}
	value, err := t.get(ctx, ask, refused)
	if err != nil && many > 1 && refuses(err) {
		return "", errFewerScopes
	}
	return value, err
}

// askForMany asks for a token with several scopes. Until one was accepted, they are asked for
// one after the other, so that a registry which refuses them is asked once. Requests that have
// a token already do not wait for that.
func (a *Authorizer) askForMany(ctx context.Context, t *token, c Challenge, with credentials.Credential) (issued, error) {
	if !a.isProved() {
		a.trying.Lock()
		defer a.trying.Unlock()
		if a.MaxScopes() < len(t.scopes) {
			return issued{}, errFewerScopes
		}
	}
	got, err := a.service.fetch(ctx, c, with, t.scopes)
	if err != nil && refuses(err) {
		a.allowFewer(len(t.scopes))
	}
	return got, err
}

// seal fixes a token's scopes, before it is asked for, and returns how many they are.
func (a *Authorizer) seal(t *token) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	t.sealed = true
	return len(t.scopes)
}

// tokenFor chooses the token for a request: the one that was announced for its repository if
// that has all scopes, and otherwise one of its own.
func (a *Authorizer) tokenFor(want Access, at step) *token {
	a.mu.Lock()
	defer a.mu.Unlock()
	scopes := want.scopes()
	if at == alone {
		scopes = scopes[:1]
	}
	t := a.batches[tokenKey{want.Announced, scopes[0]}]
	if at != alone && t != nil && len(t.scopes) <= a.scopes && (want.MountFrom == "" || t.reads(want.MountFrom)) {
		return t
	}
	scopes = scopes[:min(len(scopes), a.scopes)]
	key := tokenKey{want.Announced, strings.Join(scopes, " ")}
	if t = a.tokens[key]; t == nil {
		t = &token{credential: want.Announced, scopes: scopes}
		a.tokens[key] = t
	}
	return t
}

func (a *Authorizer) isProved() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.proved
}

// MaxScopes returns how many scopes a token may have, as far as is known. A mount from another
// repository needs two.
func (a *Authorizer) MaxScopes() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.scopes
}

// allowFewer notes that a token with so many scopes was refused. Two are still worth a try: a
// mount needs them.
func (a *Authorizer) allowFewer(refused int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if refused > 2 {
		a.scopes = min(a.scopes, 2)
	} else {
		a.scopes = 1
	}
}
