package registry

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"

	"imagemirror/internal/credentials"
)

// maxRepositories is how many repositories one token is asked for. A scope makes the token, which goes with every
// request, some 100 bytes longer, and 8 KB of headers is what the usual front servers take.
const maxRepositories = 20

// access is what a request needs the right to.
type access struct {
	side       credentials.Side
	credential credentials.Credential
	announced  credentials.Credential // the one that was known first: tokens are shared by it
	repository string
	push       bool
	from       string // repository that a blob is mounted from
}

func (a access) scope() string {
	if a.push {
		return "repository:" + a.repository + ":pull,push"
	}
	return "repository:" + a.repository + ":pull"
}

// scopes are what a token must carry.
func (a access) scopes() []string {
	s := []string{a.scope()}
	if a.from != "" && a.from != a.repository {
		s = append(s, "repository:"+a.from+":pull")
	}
	return s
}

// authorizer knows how one registry wants to be authenticated to, and keeps its tokens.
type authorizer struct {
	fetch  func(ctx context.Context, c challenge, cred credentials.Credential, scopes []string) (issued, error)
	budget *budget // the registry's, which may be its own token service

	trying sync.Mutex // held while it is not known how many scopes a token may have

	mu      sync.Mutex
	known   bool          // whether challenge holds
	probing chan struct{} // closed when the first request has been answered
	challenge
	scopes  int  // how many a token may have: any number, or 2 where that was refused, or 1 where that was
	proved  bool // a token with several was taken
	tokens  map[tokenKey]*token
	batches map[tokenKey]*token // the same tokens, by each scope that was announced for them
	open    map[batchKey]*token // the token that the next announced scope joins
	wanted  []*token            // those that were announced, in order
	ahead   sync.Once
}

type tokenKey struct {
	credential credentials.Credential
	scopes     string
}

type batchKey struct {
	credential credentials.Credential
	push       bool
}

// authorization is what a request carried, so that the answer to it can be judged.
type authorization struct {
	header string
	token  *token // nil where the header is no token's
	value  string // the token's value
	step   step
}

// step is how far a request has come in finding what authorizes it.
type step int

const (
	usual step = iota // the token that its repository shares with others
	fresh             // the same, fetched anew: the first one may have run out
	alone             // a token for the repository alone: some registries take no other
)

// announce says that access to a repository, and mounting from others, will be wanted: one token can then be asked
// for many repositories.
func (a *authorizer) announce(want access, from []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := tokenKey{want.announced, want.scope()}
	if a.batches[key] != nil {
		return
	}
	group := batchKey{want.announced, want.push}
	t := a.open[group]
	if t == nil || t.repositories == maxRepositories || t.refreshed("") {
		t = &token{credential: want.announced}
		a.open[group] = t
		a.wanted = append(a.wanted, t)
	}
	t.repositories++
	t.scopes = append(t.scopes, want.scope())
	for _, f := range from {
		if s := "repository:" + f + ":pull"; f != want.repository && !t.carries(f) {
			t.scopes = append(t.scopes, s)
		}
	}
	a.batches[key] = t
}

// begin makes the first request to a registry go alone: its answer tells everyone how to authenticate, so that not
// every one of the first requests is refused. The returned function tells that the answer is there; it is nil for
// all requests but the first.
func (a *authorizer) begin(ctx context.Context) (answered func(), err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for !a.known {
		if a.probing == nil {
			c := make(chan struct{})
			a.probing = c
			return sync.OnceFunc(func() {
				a.mu.Lock()
				defer a.mu.Unlock()
				close(c)
				// Without an answer the others do not wait their turn: whoever gets one will tell.
				a.known, a.probing = true, nil
			}), nil
		}
		c := a.probing
		a.mu.Unlock()
		select {
		case <-c:
		case <-ctx.Done():
		}
		a.mu.Lock()
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// settle notes what a registry asked for: nothing, where its answer was no 401.
func (a *authorizer) settle(c challenge) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.known || c.scheme != "" {
		a.known, a.challenge = true, c
	}
}

// asked is what the registry asked for, so far.
func (a *authorizer) asked() challenge {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.challenge
}

// authorize makes the Authorization header for a request. at is how far it has come, and refused what it carried before.
func (a *authorizer) authorize(ctx context.Context, want access, at step, refused authorization) (authorization, error) {
	c := a.asked()
	switch {
	case c.scheme == "basic" && want.credential.Username != "":
		user := want.credential.Username + ":" + want.credential.Password
		return authorization{header: "Basic " + base64.StdEncoding.EncodeToString([]byte(user))}, nil
	case c.scheme != "bearer":
		return authorization{}, nil
	case want.credential.RegistryToken != "":
		return authorization{header: "Bearer " + want.credential.RegistryToken}, nil
	}
	a.ahead.Do(func() { go a.prefetch(ctx, c) })
	value, t, err := a.carrying(ctx, want, c, at, refused.value)
	if err != nil {
		return authorization{}, err
	}
	return authorization{header: "Bearer " + value, token: t, value: value, step: at}, nil
}

// carrying is the token that carries what is wanted, with as many other scopes as the registry takes, and its value, which is not
// the refused one.
func (a *authorizer) carrying(ctx context.Context, want access, c challenge, at step, refused string) (value string, t *token, err error) {
	for {
		t = a.tokenFor(want, at)
		value, err = a.token(ctx, t, c, refused, want.credential)
		if !errors.Is(err, errFewerScopes) {
			return value, t, err
		}
	}
}

// prefetch gets the tokens that were announced before requests wait for them, each with a place in flight: a registry may be its own
// token service. Where there is one place only, whoever has it gets the token.
func (a *authorizer) prefetch(ctx context.Context, c challenge) {
	if !a.budget.several() {
		return
	}
	a.mu.Lock()
	wanted := a.wanted
	a.mu.Unlock()
	for _, t := range wanted {
		if t.refreshed("") {
			continue
		}
		if a.budget.acquire(ctx, false) != nil {
			return
		}
		_, err := a.token(ctx, t, c, "", t.credential)
		a.budget.release(false)
		if err != nil {
			return // whoever needs one will say why there is none
		}
	}
}

// errFewerScopes says that a token has to be asked for again, with fewer scopes.
var errFewerScopes = errors.New("a token may not have so many scopes")

// token gets a token. Until one with several scopes was taken, they are asked for one after the other, so that a registry
// which refuses them is asked once.
func (a *authorizer) token(ctx context.Context, t *token, c challenge, refused string, with credentials.Credential) (string, error) {
	many := len(t.scopes)
	if many == 1 {
		return t.get(ctx, a.fetch, c, refused, with)
	}
	if !a.isProved() {
		a.trying.Lock()
		defer a.trying.Unlock()
		if a.most() < many {
			return "", errFewerScopes
		}
	}
	value, err := t.get(ctx, a.fetch, c, refused, with)
	if err != nil && isRefusal(err) {
		a.atMost(many)
		return "", errFewerScopes
	}
	return value, err
}

// tokenFor chooses the token for a request: the one that was announced for its repository if it carries all that is
// needed, and otherwise one of its own.
func (a *authorizer) tokenFor(want access, at step) *token {
	a.mu.Lock()
	defer a.mu.Unlock()
	scopes := want.scopes()
	if at == alone {
		scopes = scopes[:1]
	}
	t := a.batches[tokenKey{want.announced, scopes[0]}]
	if at != alone && t != nil && len(t.scopes) <= a.scopes && (want.from == "" || t.carries(want.from)) {
		return t
	}
	scopes = scopes[:min(len(scopes), a.scopes)]
	key := tokenKey{want.announced, strings.Join(scopes, " ")}
	if t = a.tokens[key]; t == nil {
		t = &token{credential: want.announced, scopes: scopes}
		a.tokens[key] = t
	}
	return t
}

// accepted learns from a request that went well: where only a token for the repository alone did, the registry takes
// no tokens for many.
func (a *authorizer) accepted(with authorization) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case with.step == alone:
		a.scopes = 1
	case with.token != nil && len(with.token.scopes) > 1:
		a.proved = true
	}
}

func (a *authorizer) isProved() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.proved
}

// most is how many scopes a token may have, as far as is known.
func (a *authorizer) most() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.scopes
}

// atMost notes that a token with that many scopes was refused. Two are still worth a try, which a mount needs.
func (a *authorizer) atMost(refused int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if refused > 2 {
		a.scopes = min(a.scopes, 2)
	} else {
		a.scopes = 1
	}
}

// again says how a refused request may be authorized otherwise, if at all: where it had nothing though the registry wants
// something, where its token may have run out, and where its token was for many repositories.
func (a *authorizer) again(resp *http.Response, want access, sent authorization) (next step, ok bool) {
	unauthorized := resp.StatusCode == http.StatusUnauthorized
	c, challenged := challengeOf(resp.Header)
	switch {
	case unauthorized && sent.header == "":
		if challenged {
			a.settle(c)
		}
		return usual, challenged && (c.scheme == "bearer" || want.credential.Username != "")
	case sent.token == nil:
		return usual, false
	case want.from != "" && !sent.token.carries(want.from):
		return usual, false // no token can help this mount
	case unauthorized && sent.step == usual:
		return fresh, true
	}
	return alone, len(sent.token.scopes) > 1
}

func (t *token) carries(repository string) bool {
	return slices.ContainsFunc(t.scopes, func(s string) bool {
		return strings.HasPrefix(s, "repository:"+repository+":")
	})
}
