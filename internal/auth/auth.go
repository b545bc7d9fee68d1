// Package auth authorizes requests to one registry. It learns which authentication the
// registry asks for, gets tokens from its token service, and shares them between requests: one
// token serves as many repositories as the service allows, so that a run over hundreds of
// repositories asks for few.
package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"math"
	"net/http"
	"net/url"
	"sync"
	"time"

	"imagemirror/internal/credentials"
	"imagemirror/internal/reference"
	"imagemirror/internal/retry"
)

// An Access is the access that a request needs, and the credential to get it with.
type Access struct {
	Side       reference.Side
	Repository string
	Push       bool
	MountFrom  string // repository on the same registry that a blob is mounted from; or ""
	Credential credentials.Credential
	Announced  credentials.Credential // the one that was known first: tokens are shared by it
}

// scope returns the scope of the repository (distribution's token scope documentation).
func (a Access) scope() string {
	if a.Push {
		return "repository:" + a.Repository + ":pull,push"
	}
	return pullScope(a.Repository)
}

func pullScope(repository string) string { return "repository:" + repository + ":pull" }

// scopes returns all scopes that a token must have, the repository's first.
func (a Access) scopes() []string {
	s := []string{a.scope()}
	if a.MountFrom != "" && a.MountFrom != a.Repository {
		s = append(s, pullScope(a.MountFrom))
	}
	return s
}

// A Config says how to reach a registry's token service.
type Config struct {
	Registry  string        // its name in errors
	PlainHTTP bool          // the token service may be spoken to in plain HTTP
	Timeout   time.Duration // of one request for a token
	Retry     retry.Policy
	Slots     Slots
	// Client returns the connections to an address that the registry gave. It fails if the
	// registry must not lead there.
	Client func(ctx context.Context, u *url.URL) (*http.Client, error)
}

// Slots bounds the requests in flight to the registry, which may be its own token
// service.
type Slots interface {
	Several() bool // more than one request may be in flight
	Acquire(ctx context.Context) error
	Release()
}

// An Authorizer authorizes requests to one registry. It is safe for concurrent use.
type Authorizer struct {
	service tokenService

	answered chan struct{} // closed when the first request has been answered
	release  func()        // closes answered
	trying   sync.Mutex    // held while it is not known how many scopes a token may have

	mu        sync.Mutex
	begun     bool // the first request is under way, or was
	known     bool // challenge holds
	challenge Challenge
	scopes    int  // how many a token may have: any number, or 2 or 1 after more were refused
	proved    bool // a token with several was accepted
	tokens    map[tokenKey]*token
	batches   map[tokenKey]*token // the same tokens, by each scope that was announced for them
	open      map[batchKey]*token // the token that the next announced scope joins
	wanted    map[bool][]*token   // those to prefetch, in the order in which they were announced, by whether they push
}

// New returns an Authorizer that has asked the registry nothing yet.
func New(config Config) *Authorizer {
	answered := make(chan struct{})
	return &Authorizer{
		service:  tokenService{Config: config},
		answered: answered,
		release:  sync.OnceFunc(func() { close(answered) }),
		scopes:   math.MaxInt,
		tokens:   map[tokenKey]*token{},
		batches:  map[tokenKey]*token{},
		open:     map[batchKey]*token{},
		wanted:   map[bool][]*token{},
	}
}

// Authorization is what a request carries, so that the answer to it can be judged. The zero
// Authorization is that of a request which has not been sent.
type Authorization struct {
	Header string // the Authorization header, or ""
	token  *token // nil unless the header is a token's
	value  string // the token's value
	step   step
}

// step says how far a request has come in finding what authorizes it.
type step int

const (
	shared  step = iota // with the token that its repository shares with others
	renewed             // with the same token, fetched again: the first may have expired
	alone               // with a token for the repository only: some registries accept no other
)

// Renewed returns the refused authorization of a request whose credential has changed since,
// for Authorize.
func (sent Authorization) Renewed() Authorization {
	sent.step = renewed
	return sent
}

// patience is how long requests wait for the answer to the first. One image that a registry is
// slow with must not hold up the others, which then risk being refused once.
const patience = 5 * time.Second

// Begin makes the first request to a registry go alone: its answer tells everyone how to
// authenticate, so that the others are not refused first. They wait in Begin until Learn gets
// a challenge, or until the first request has called answered, which is nil for all others.
func (a *Authorizer) Begin(ctx context.Context) (answered func(), err error) {
	a.mu.Lock()
	first := !a.begun
	a.begun = true
	a.mu.Unlock()
	if first {
		return a.release, nil
	}
	select {
	case <-a.answered:
		return nil, nil
	default:
	}
	enough := time.NewTimer(patience)
	defer enough.Stop()
	select {
	case <-a.answered:
	case <-enough.C:
		a.release()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return nil, nil
}

// Learn notes what the registry asked for: the zero Challenge if its answer was not 401. A
// challenge releases the requests that wait in Begin: they need not wait until the first has
// its token and its answer. Without one they wait, since the answer may have shown that
// another scheme is needed.
func (a *Authorizer) Learn(c Challenge) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.known || !c.IsZero() {
		a.known, a.challenge = true, c
	}
	if !c.IsZero() {
		a.begun = true
		a.release()
	}
}

// Challenge returns what the registry has asked for so far.
func (a *Authorizer) Challenge() Challenge {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.challenge
}

// Authorize authorizes a request. last is what it carried before, or what Again or Renewed
// made of that.
func (a *Authorizer) Authorize(ctx context.Context, want Access, last Authorization) (Authorization, error) {
	c := a.Challenge()
	switch {
	case c.scheme == basic && want.Credential.Username != "":
		user := want.Credential.Username + ":" + password(want.Credential)
		return Authorization{Header: "Basic " + base64.StdEncoding.EncodeToString([]byte(user))}, nil
	case !c.HasTokens():
		return Authorization{}, nil
	case want.Credential.RegistryToken != "":
		return Authorization{Header: "Bearer " + want.Credential.RegistryToken}, nil
	}
	a.prefetch(ctx, c, want.Push)
	value, t, err := a.tokenWith(ctx, want, c, last)
	if err != nil {
		return Authorization{}, err
	}
	return Authorization{Header: "Bearer " + value, token: t, value: value, step: last.step}, nil
}

// tokenWith returns a token with the scopes that want needs, and its value. The value is never
// the one that was refused in last.
func (a *Authorizer) tokenWith(ctx context.Context, want Access, c Challenge, last Authorization) (value string, t *token, err error) {
	for {
		t = a.tokenFor(want, last.step)
		value, err = a.valueOf(ctx, t, c, last.value, want.Credential)
		if !errors.Is(err, errFewerScopes) {
			return value, t, err
		}
	}
}

// Again reports whether a refused request may be authorized in another way, and returns how,
// for Authorize: it carried nothing although the registry wants something, its token may have
// expired, or its token was for many repositories.
func (a *Authorizer) Again(resp *http.Response, want Access, sent Authorization) (next Authorization, ok bool) {
	next = sent
	next.step, ok = a.nextStep(resp, want, sent)
	return next, ok
}

func (a *Authorizer) nextStep(resp *http.Response, want Access, sent Authorization) (next step, ok bool) {
	unauthorized := resp.StatusCode == http.StatusUnauthorized
	c, challenged := ParseChallenge(resp)
	switch {
	case unauthorized && sent.Header == "":
		if challenged {
			a.Learn(c)
		}
		return shared, challenged && (c.HasTokens() || want.Credential.Username != "")
	case sent.token == nil:
		return shared, false
	case want.MountFrom != "" && !sent.token.reads(want.MountFrom):
		return shared, false // no token can help this mount
	case unauthorized && sent.step == shared:
		return renewed, true
	}
	return alone, len(sent.token.scopes) > 1
}

// Accepted learns from a request that succeeded. If it took a token for the repository alone,
// the registry accepts no tokens for many.
func (a *Authorizer) Accepted(sent Authorization) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case sent.step == alone:
		a.scopes = 1
	case sent.token != nil && len(sent.token.scopes) > 1:
		a.proved = true
	}
}
