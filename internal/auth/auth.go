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
	"strings"
	"sync"
	"time"

	"imagemirror/internal/credentials"
	"imagemirror/internal/reference"
	"imagemirror/internal/retry"
	"imagemirror/internal/waits"
)

// An Access is the access that a request needs, and the credential to get it with.
type Access struct {
	Side       reference.Side
	Repository string
	Push       bool
	Delete     bool   // also to delete; a challenge tells what its registry calls this right
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
	if a.mounts() {
		s = append(s, pullScope(a.MountFrom))
	}
	return s
}

// mounts reports whether a blob is mounted from another repository.
func (a Access) mounts() bool { return a.MountFrom != "" && a.MountFrom != a.Repository }

// A Config says how to reach a registry's token service.
type Config struct {
	Registry  string        // its name in errors
	PlainHTTP bool          // the token service may be spoken to in plain HTTP
	Timeout   time.Duration // of one request for a token
	Retry     retry.Policy
	Slots     Slots
	// Client returns the connections to an address that the registry gave. It fails if the
	// registry must not lead there.
	Client    func(ctx context.Context, u *url.URL) (*http.Client, error)
	Own       func(u *url.URL) bool // reports whether an address is on the registry's host
	SeemsDown func() bool           // reports whether the last requests for tokens had no answer
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
	trying   chan struct{} // has an entry while somebody finds out how many scopes a token may have

	mu        sync.Mutex
	begun     bool // the first request is under way, or was
	known     bool // challenge holds
	challenge Challenge
	own       map[string]Challenge   // of repositories with another challenge
	plain     map[string]bool        // first elements of paths whose challenge is the registry's
	named     map[accessKey][]string // scopes that the registry named instead of the usual one
	hinted    map[accessKey][]string // scopes that the registry named in its challenge
	scopes    int                    // how many a token may have: any number, or 2 or 1 after more were refused
	length    suspicion              // whether requests are refused because tokens are too long
	proved    bool                   // a token with several was accepted
	tokens    map[tokenKey]*token    // those that were not announced
	batches   map[batchKey][]*token  // those that were, by each repository's access
	open      map[groupKey]*token    // the token that the next announced scope joins
	wanted    map[bool][]*token      // those to prefetch, in the order in which they were announced, by whether they push
}

// New returns an Authorizer that has asked the registry nothing yet.
func New(config Config) *Authorizer {
	answered := make(chan struct{})
	return &Authorizer{
		service:  tokenService{Config: config},
		answered: answered,
		release:  sync.OnceFunc(func() { close(answered) }),
		trying:   make(chan struct{}, 1),
		scopes:   math.MaxInt,
		own:      map[string]Challenge{},
		plain:    map[string]bool{},
		named:    map[accessKey][]string{},
		hinted:   map[accessKey][]string{},
		tokens:   map[tokenKey]*token{},
		batches:  map[batchKey][]*token{},
		open:     map[groupKey]*token{},
		wanted:   map[bool][]*token{},
	}
}

// Authorization is what a request carries, so that the answer to it can be judged. The zero
// Authorization is that of a request which has not been sent.
type Authorization struct {
	Header  string    // the Authorization header, or ""
	answers Challenge // the challenge that the header answers
	token   *token    // nil unless the header is a token's
	value   string    // the token's value
	step    phase
	moved   bool // an answer to the request had another challenge, which is followed once
	named   bool // an answer to the request named other scopes, which are used once
}

// A phase is the kind of token that a request is sent with. A request that is refused goes on to
// the next phase.
type phase int

const (
	shared  phase = iota // with the token that its repository shares with others
	renewed              // with the same token, fetched again: the first may have expired
	few                  // with a token for this request only: the shared one is too long
	alone                // with a token for the repository only: some registries accept no other
	bare                 // with nothing, so that the registry states its challenge for the repository
)

// Renewed returns the refused authorization of a request whose credential has changed since,
// for Authorize.
func (sent Authorization) Renewed() Authorization {
	sent.step = renewed
	return sent
}

// leastPatience is what patience returns at least.
const leastPatience = 5 * time.Second

// patience returns how long requests wait for the answer to the first: a twelfth of the time that
// the registry may take for it. One image that a registry is slow with must not hold up the others,
// which then risk being refused once.
func (a *Authorizer) patience() time.Duration { return max(leastPatience, a.service.Timeout/12) }

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
	patience := a.patience()
	defer waits.Begin(ctx, waits.Wait{Kind: waits.Answer, Host: a.service.Registry, Limit: patience})()
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

// Authorize authorizes a request. last is what it carried before, or what Again, Shorter,
// Bare or Renewed made of that.
func (a *Authorizer) Authorize(ctx context.Context, want Access, last Authorization) (Authorization, error) {
	c := a.challengeOf(want.Repository)
	next := last
	next.Header, next.answers, next.token, next.value = "", c, nil, ""
	switch {
	case last.step == bare || !c.admits(want.Credential):
	case c.scheme == basic:
		user := want.Credential.Username + ":" + password(want.Credential)
		next.Header = "Basic " + base64.StdEncoding.EncodeToString([]byte(user))
	case want.Credential.RegistryToken != "":
		next.Header = bearerPrefix + want.Credential.RegistryToken
	default:
		a.prefetch(a.Challenge(), want.Push)
		return a.tokenWith(ctx, want, next, last.value)
	}
	return next, nil
}

// tokenWith completes the authorization with a token that has the scopes that want needs. It
// never has the value that was refused.
func (a *Authorizer) tokenWith(ctx context.Context, want Access, next Authorization, refused string) (Authorization, error) {
	for {
		t := a.tokenFor(want, next.answers, next.step)
		header, err := a.headerOf(ctx, t, next.answers, refused, want.Credential)
		switch {
		case errors.Is(err, errFewerScopes):
		case err != nil && refuses(err) && next.named && a.forgetNamed(want):
		case err != nil && refuses(err) && !next.named && a.useHint(want):
			next.named = true
		case err != nil:
			return next, err
		case next.step < few && len(t.scopes) > 1 && t.withholds(want.Repository):
			next.step = alone
		default:
			next.Header, next.token, next.value = header, t, header[len(bearerPrefix):]
			return next, nil
		}
	}
}

// Again reports whether a refused request may be authorized in another way, and returns how,
// for Authorize: it carried nothing although the registry wants something, the registry has
// another token service or other scopes for the repository, its token may have expired, or
// its token was for many repositories.
func (a *Authorizer) Again(resp *http.Response, want Access, sent Authorization) (next Authorization, ok bool) {
	next = sent
	c, challenged := ParseChallenge(resp)
	unauthorized := resp.StatusCode == http.StatusUnauthorized
	switch {
	case unauthorized && challenged && sent.Header == "":
		return a.meet(want, c, scopesOf(resp), sent)
	case unauthorized && challenged && a.move(want, c, sent):
		next.step, next.moved = shared, true
		return next, c.admits(want.Credential)
	case sent.token != nil && challenged && !sent.named && a.name(want, scopesOf(resp), sent.token):
		next.step, next.named = renewed, true
		return next, true
	case sent.named:
		a.forgetNamed(want)
		next.step = alone
		return next, sent.step < alone
	}
	next.step, ok = nextStep(unauthorized, want, sent)
	return next, ok
}

func nextStep(unauthorized bool, want Access, sent Authorization) (next phase, ok bool) {
	switch {
	case sent.token == nil:
		return shared, false
	case want.mounts() && !sent.token.reads(want.MountFrom):
		return shared, false // no token can help this mount
	case unauthorized && sent.step == shared:
		return renewed, true
	}
	return alone, len(sent.token.scopes) > 1
}

// shortToken is a token's length, in bytes, that every front server accepts in a header.
const shortToken = 512

// Shorter reports whether a request may have been refused because its token is too long for a
// front server, and returns how to authorize it with a shorter one. A registry's own answers
// have an error code. A mount needs two scopes, so it has no shorter token than for these.
//
// Others get short tokens at once, until it is known whether that helps.
func (a *Authorizer) Shorter(status int, code string, want Access, sent Authorization) (next Authorization, ok bool) {
	next = sent
	next.step = few
	switch status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong, http.StatusRequestHeaderFieldsTooLarge:
	default:
		return sent, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case code != "" || sent.token == nil:
		return sent, false
	case sent.step == few && a.length == doubted:
		a.length, a.scopes = innocent, math.MaxInt
		return sent, false
	case sent.step >= few || a.length == innocent && status != http.StatusRequestHeaderFieldsTooLarge,
		len(sent.value) <= shortToken || len(sent.token.scopes) <= len(want.scopes()):
		return sent, false
	}
	if a.scopes > 2 {
		a.length, a.scopes = doubted, 2
	}
	return next, true
}

// A suspicion is what is known about whether requests are refused because tokens are too long.
type suspicion int

const (
	unknown  suspicion = iota
	doubted            // a request with a shorter token is under way
	guilty             // a request with a shorter token was accepted
	innocent           // a request with a shorter token was refused too
)

// Bare reports whether a request that gets no token should be sent without one: the registry
// may have another token service, or other scopes, for its repository than for those that were
// challenged. JFrog Artifactory has a service for each first element of the paths, so that one
// request for each is enough.
func (a *Authorizer) Bare(want Access, last Authorization) (next Authorization, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, known := a.own[want.Repository]
	next = last
	next.step = bare
	return next, !known && !last.moved && last.step != bare && !a.plain[firstElement(want.Repository)]
}

func firstElement(path string) string {
	first, _, _ := strings.Cut(path, "/")
	return first
}

// Anonymous reports whether the request carried nothing, and not in order to be challenged.
func (sent Authorization) Anonymous() bool { return sent.Header == "" && sent.step != bare }

// Accepted learns from a request whose authorization was accepted. If it needed a token with
// fewer scopes than others have, the registry accepts no tokens with more.
func (a *Authorizer) Accepted(sent Authorization) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case sent.token == nil:
	case sent.step == few:
		a.length, a.scopes = guilty, min(a.scopes, 2)
	case sent.step == alone && !sent.token.withholds(sent.token.repository()):
		a.scopes = 1
	case len(sent.token.scopes) > 1:
		a.proved = true
	}
}
