package auth

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"imagemirror/internal/credentials"
)

// Bounds on what one token is asked for. The token goes with every request, and front servers
// accept 8 KB of headers, some only 4 KB, so what it states of its scopes stays well below
// that. The request for it, whose address has all scopes, stays below 8 KB, too.
const (
	maxRepositories = 20
	maxStated       = 2560 // bytes
)

// statedLength returns how many bytes a scope adds to a token: a JSON Web Token (RFC 7519)
// states it as {"type":"repository","name":"NAME","actions":["pull","push"]}, in base64.
func statedLength(scope string) int { return (len(scope) + 36) * 4 / 3 }

type tokenKey struct {
	credential credentials.Credential
	challenge  Challenge
	scopes     string
}

type batchKey struct {
	credential credentials.Credential
	accessKey
}

func (a Access) batch() batchKey { return batchKey{a.Announced, a.key()} }

type groupKey struct {
	credential credentials.Credential
	push       bool
}

// Announce tells that access to a repository, and mounting from others, will be wanted, so that
// one token can be asked for many repositories. A repository that is announced again joins another
// token only if its own do not read all of mountFrom. One that mounts from more repositories than
// fit into a token gets several. The token may be prefetched until ctx ends: that is the context of
// the run, since the request that begins to prefetch may end before others need the tokens.
func (a *Authorizer) Announce(ctx context.Context, want Access, mountFrom []string) {
	a.AnnounceAll(ctx, []Announcement{{want, mountFrom}})
}

// An Announcement is what Announce is told.
type Announcement struct {
	Want      Access
	MountFrom []string
}

// AnnounceAll announces accesses in one step. A request that is authorized meanwhile would have a
// token fetched that still lacks the last of them.
func (a *Authorizer) AnnounceAll(ctx context.Context, list []Announcement) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, n := range list {
		a.announceLocked(ctx, n.Want, n.MountFrom)
	}
}

// announceLocked needs the lock mu.
func (a *Authorizer) announceLocked(ctx context.Context, want Access, mountFrom []string) {
	key := want.batch()
	var missing []string
	for _, from := range mountFrom {
		if from != want.Repository && !slices.ContainsFunc(a.batches[key], func(t *token) bool { return t.reads(from) }) {
			missing = append(missing, from)
		}
	}
	group := groupKey{want.Announced, want.Push}
	for len(a.batches[key]) == 0 || len(missing) > 0 {
		open := a.open[group]
		t := open
		if !open.takes(want.scope(), missing) {
			t = newToken(want.Announced, nil)
			a.wanted[want.Push] = append(a.wanted[want.Push], t)
		}
		t.ctx = ctx
		missing = t.join(want.scope(), missing)
		a.batches[key] = append(a.batches[key], t)
		if !open.takes("", nil) || t.stated < open.stated {
			a.open[group] = t // the one with more room
		}
	}
}

// Announced reports whether access to a repository was announced.
func (a *Authorizer) Announced(want Access) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.batches[want.batch()]) > 0
}

// Await waits until the token that want shares with others has been prefetched, if that is under
// way or can begin. Call it without a request slot: requests that wait for a token leave the slots
// to those that have theirs, and to the requests for tokens.
func (a *Authorizer) Await(ctx context.Context, want Access) {
	c := a.Challenge()
	if !c.HasTokens() || want.Credential.RegistryToken != "" {
		return
	}
	a.prefetch(c, want.Push)
	a.mu.Lock()
	var prefetched chan struct{}
	if t := a.batchLocked(want); t != nil {
		prefetched = t.prefetched
	}
	a.mu.Unlock()
	if prefetched == nil {
		return
	}
	select {
	case <-prefetched:
	case <-ctx.Done():
	}
}

// batchLocked returns the announced token with all scopes that want needs, or nil. Of several such
// tokens, it prefers those that are fetched already, and of these the last announced.
func (a *Authorizer) batchLocked(want Access) (last *token) {
	for _, t := range slices.Backward(a.batches[want.batch()]) {
		if len(t.scopes) > a.scopes || want.mounts() && !t.reads(want.MountFrom) {
			continue
		}
		if t.isFresh() {
			return t
		}
		last = cmp.Or(last, t)
	}
	return last
}

// prefetch begins to get the announced tokens that push, or those that only read, before
// requests wait for them. Each takes a request slot: a registry may be its own token
// service. If there is one slot only, the request that has it gets the token. So does the request
// that needs a token for one repository, whose refusal it has to report.
func (a *Authorizer) prefetch(c Challenge, push bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	wanted := a.wanted[push]
	a.wanted[push] = nil
	a.prefetchLocked(c, wanted)
}

// PrefetchFull begins to get the announced push tokens that have no room for further repositories.
func (a *Authorizer) PrefetchFull() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.challenge.HasTokens() {
		return
	}
	var full, rest []*token
	for _, t := range a.wanted[true] {
		if a.open[groupKey{t.credential, true}] == t && t.takes("", nil) {
			rest = append(rest, t)
		} else {
			full = append(full, t)
		}
	}
	a.wanted[true] = rest
	a.prefetchLocked(a.challenge, full)
}

func (a *Authorizer) prefetchLocked(c Challenge, wanted []*token) {
	if len(wanted) == 0 || !a.service.Slots.Several() {
		return
	}
	wanted = slices.DeleteFunc(wanted, func(t *token) bool { return len(t.scopes) == 1 })
	for _, t := range wanted {
		t.prefetched = make(chan struct{})
	}
	go a.prefetchAll(c, wanted)
}

// prefetchAll gets tokens, side by side once one with several scopes was accepted. It stops at
// the first that it does not get: the request that needs it will report why.
func (a *Authorizer) prefetchAll(c Challenge, left []*token) {
	defer func() {
		for _, t := range left {
			close(t.prefetched)
		}
	}()
	for len(left) > 0 {
		t := left[0]
		ctx := a.contextOf(t)
		if a.service.Slots.Acquire(ctx) != nil {
			return
		}
		left = left[1:]
		get := func() error {
			defer close(t.prefetched)
			defer a.service.Slots.Release()
			_, err := a.headerOf(ctx, t, c, "", t.credential)
			return err
		}
		if a.isProved() {
			go func() { _ = get() }()
		} else if get() != nil {
			return
		}
	}
}

// contextOf returns the context in which a token is prefetched.
func (a *Authorizer) contextOf(t *token) context.Context {
	a.mu.Lock()
	defer a.mu.Unlock()
	return t.ctx
}

// errFewerScopes means that a token has to be asked for again, with fewer scopes.
var errFewerScopes = errors.New("a token may not have so many scopes")

// headerOf returns the Authorization header of a token.
func (a *Authorizer) headerOf(ctx context.Context, t *token, c Challenge, refused string, with credentials.Credential) (string, error) {
	many := a.seal(t)
	ask := func(ctx context.Context) (issued, error) {
		if many > 1 {
			return a.askForMany(ctx, t, c, with)
		}
		return a.service.fetch(ctx, c, with, t.scopes)
	}
	header, err := t.get(ctx, ask, refused)
	if err != nil && many > 1 && refusesMany(ctx, err) {
		return "", errFewerScopes
	}
	return header, err
}

// askForMany asks for a token with several scopes. Until one was accepted, they are asked for
// one after the other, so that a registry which refuses them is asked once. Requests that have
// a token already do not wait for that.
func (a *Authorizer) askForMany(ctx context.Context, t *token, c Challenge, with credentials.Credential) (issued, error) {
	if !a.isProved() {
		select {
		case a.trying <- struct{}{}:
			defer func() { <-a.trying }()
		case <-ctx.Done():
			return issued{}, context.Cause(ctx)
		}
		if a.MaxScopes() < len(t.scopes) {
			return issued{}, errFewerScopes
		}
	}
	got, err := a.service.fetch(ctx, c, with, t.scopes)
	if err != nil && refusesMany(ctx, err) {
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

// tokenFor chooses the token for a request: one that was announced for its repository if that
// has all scopes, and otherwise one of its own.
func (a *Authorizer) tokenFor(want Access, c Challenge, at phase) *token {
	a.mu.Lock()
	defer a.mu.Unlock()
	named := a.named[want.key()]
	if at < few && len(named) == 0 && c == a.challenge {
		if t := a.batchLocked(want); t != nil {
			return t
		}
	}
	scopes := want.scopes()
	switch {
	case at == alone:
		scopes = scopes[:1]
	case len(named) > 0:
		scopes = append(slices.Clone(named), scopes[1:]...)
	}
	scopes = scopes[:min(len(scopes), a.scopes)]
	key := tokenKey{want.Announced, c, strings.Join(scopes, " ")}
	t := a.tokens[key]
	if t == nil {
		t = newToken(want.Announced, scopes)
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
