package registry

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"imagemirror/internal/credentials"
)

// AnnouncePush says that MayPush is going to be asked of the repository, and whether it can be: not where the registry has no
// tokens, nor where asking would write. When all repositories are announced first, a registry is asked for one token for many of them.
// exists says that the repository is known to be there.
func (r *Repository) AnnouncePush(ctx context.Context, exists bool) bool {
	can := false
	for _, l := range r.locations {
		c := l.host.challenge(ctx, l.host.client.hasCredentials(l.access.credential))
		if c.scheme == "bearer" && l.access.credential.RegistryToken == "" && (exists || !c.creates()) {
			l.host.auth.announce(l.pushing(), nil)
			can = true
		}
	}
	return can
}

// creates says whether a repository comes to be when a token to push to it is asked for. Quay does that, in endpoints/v2/v2auth.py
// of https://github.com/quay/quay, and is known by where its tokens are.
func (c challenge) creates() bool { return strings.HasSuffix(c.realm, "/v2/auth") }

// MayPush asks the registry for a token to push with, as copying will, and writes nothing. Its error says that the credentials are
// refused.
func (r *Repository) MayPush(ctx context.Context) error {
	for _, l := range r.locations {
		if err := l.mayPush(ctx); err != nil {
			return r.fail(err, askingToPush)
		}
	}
	return nil
}

// askingToPush is what is done where a registry refuses a token to push with.
const askingToPush = "asking for the right to push to"

// pushing is the access that copy will want.
func (l location) pushing() access {
	want := l.access
	want.push = true
	return want
}

func (l location) mayPush(ctx context.Context) error {
	want := l.pushing()
	if now, err := l.host.client.keychain.For(ctx, want.side, l.host.endpoint.Registry, want.repository); err == nil {
		want.credential = now
	}
	for at := usual; ; at = alone {
		value, t, err := l.host.auth.carrying(ctx, want, l.host.auth.asked(), at, "")
		switch {
		case err != nil && isRefusal(err):
			return l.refused(ctx, want, err)
		case err != nil:
			return nil // it may be better by the time that copy asks
		}
		switch said := verdict(value, t.scopes, want.repository); {
		case said == granted && at == alone:
			l.host.auth.accepted(authorization{token: t, step: at})
			return nil
		case said == granted || said == unsaid:
			return nil
		case said == denied || len(t.scopes) == 1:
			return l.refused(ctx, want, nil)
		}
	}
}

// informant is a keychain that can say what it has.
type informant interface {
	// Origin says where a credential comes from, in words that show nothing secret.
	Origin(ctx context.Context, side credentials.Side, registry, repository string) string
	// Empty says whether there is none for any registry.
	Empty() bool
}

// hasCredentials says whether someone gave credentials, be they for another registry.
func (c *Client) hasCredentials(found credentials.Credential) bool {
	if found != (credentials.Credential{}) {
		return true
	}
	k, ok := c.keychain.(informant)
	return ok && !k.Empty()
}

// challenge is how the registry wants to be authenticated to. One that lets everyone read has not said so yet: it is asked, once,
// where it may.
func (h *host) challenge(ctx context.Context, may bool) challenge {
	if c := h.auth.asked(); c.scheme != "" || !may {
		return c
	}
	h.greeted.Do(func() { h.greet(ctx) })
	return h.auth.asked()
}

// greet asks what the distribution spec has for it. An answer without a challenge, or none, tells nothing.
func (h *host) greet(ctx context.Context) {
	if h.budget.acquire(ctx, false) != nil {
		return
	}
	defer h.budget.release(false)
	ctx, cancel := context.WithTimeout(ctx, h.client.config.Stall)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, *h.scheme.Load()+"://"+h.address+"/v2/", nil)
	if err != nil {
		return
	}
	req.Header.Set("User-Agent", userAgent)
	resp, err := h.http.Do(req)
	if err != nil {
		return
	}
	defer discard(resp)
	if c, ok := challengeOf(resp.Header); ok && resp.StatusCode == http.StatusUnauthorized {
		h.auth.settle(c)
	}
}

// refused is the error of credentials that a push is refused to. It says which they are, by their place.
func (l location) refused(ctx context.Context, want access, err error) error {
	name := l.host.endpoint.Registry + "/" + want.repository
	e := &Error{Doing: askingToPush}
	var said *Error
	if errors.As(err, &said) {
		e.Status, e.Code, e.Words = said.Status, said.Code, said.Words
	}
	why := notAllowed{origin: "the credentials that there are for it", advice: "give that account the right to push to " + name + ", or create the repository"}
	if k, ok := l.host.client.keychain.(informant); ok {
		why.origin = k.Origin(ctx, want.side, l.host.endpoint.Registry, want.repository)
	}
	switch {
	case want.credential == credentials.Credential{}:
		why.advice = fmt.Sprintf("add an entry for %s or %s to the credentials for pushing", name, l.host.endpoint.Registry)
	case e.Status == http.StatusUnauthorized:
		why.advice = "correct the user or the password there"
	}
	e.Err = hopelessError{why}
	return e
}

// notAllowed is why a push is refused.
type notAllowed struct{ origin, advice string }

func (n notAllowed) Error() string  { return "the registry grants none with " + n.origin }
func (n notAllowed) Advice() string { return n.advice }

// What a token says of the right to push to one of the repositories that it was asked for.
type say int

const (
	unsaid  say = iota // it does not show what it allows
	granted            // push is allowed
	denied             // it is not, and it is for several repositories, or was asked for one
	unclear            // it is not, and it is for one of several, or none: the service may take one scope at a time
)

// maxReadable bounds a token that is looked into. Longer ones fit into no header anyway.
const maxReadable = 64 << 10

// verdict looks into a token. By distribution's specification it is a JSON Web Token with what it allows, which may be less than
// was asked for, without an error; it is for the registry to verify. Others are opaque, and taken for what they were asked for.
func verdict(value string, scopes []string, repository string) say {
	allowed := accessOf(value)
	if allowed == nil {
		return unsaid
	}
	asked := map[string]bool{}
	for _, s := range scopes {
		_, name, _ := strings.Cut(s, ":")
		asked[name[:max(0, strings.LastIndexByte(name, ':'))]] = true
	}
	for name := range allowed {
		if !asked[name] {
			return unsaid // the service has names of its own
		}
	}
	actions := allowed[repository]
	switch {
	case slices.Contains(actions, "push") || slices.Contains(actions, "*"):
		return granted
	case len(asked) == 1 || len(allowed) > 1:
		return denied
	}
	return unclear
}

// accessOf is what a token allows, by repository; nil where it does not say.
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
