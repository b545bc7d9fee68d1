package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"imagemirror/internal/auth"
	"imagemirror/internal/credentials"
	"imagemirror/internal/reference"
	"imagemirror/internal/regerror"
)

// AnnouncePush says that MayPush is going to be asked of the repository, and whether it can be: not where the registry has no
// tokens, nor where asking would write. When all repositories are announced first, a registry is asked for one token for many of them.
// exists says that the repository is known to be there.
func (r *Repository) AnnouncePush(ctx context.Context, exists bool) bool {
	can := false
	for _, l := range r.locations {
		c := l.host.challenge(ctx, l.host.client.hasCredentials(l.access.Credential))
		if c.HasTokens() && l.access.Credential.RegistryToken == "" && (exists || !c.CreatesRepositories()) {
			l.host.auth.Announce(l.pushing(), nil)
			can = true
		}
	}
	return can
}

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
func (l location) pushing() auth.Access {
	want := l.access
	want.Push = true
	return want
}

func (l location) mayPush(ctx context.Context) error {
	want := l.pushing()
	if now, err := l.host.client.credentials.For(ctx, want.Side, l.host.endpoint.Registry, want.Repository); err == nil {
		want.Credential = now
	}
	refused, err := l.host.auth.CheckPush(ctx, want)
	if !refused {
		return nil // trouble may be over by the time that copy asks
	}
	return l.refused(ctx, want, err)
}

// informant is a source of credentials that can say what it has.
type informant interface {
	// Origin says where a credential comes from, in words that show nothing secret.
	Origin(ctx context.Context, side reference.Side, registry, repository string) string
	// Empty says whether there is none for any registry.
	Empty() bool
}

// hasCredentials says whether someone gave credentials, be they for another registry.
func (c *Client) hasCredentials(found credentials.Credential) bool {
	if found != (credentials.Credential{}) {
		return true
	}
	k, ok := c.credentials.(informant)
	return ok && !k.Empty()
}

// challenge is how the registry wants to be authenticated to. One that lets everyone read has not said so yet: it is asked, once,
// where it may.
func (h *host) challenge(ctx context.Context, may bool) auth.Challenge {
	if c := h.auth.Challenge(); !c.IsZero() || !may {
		return c
	}
	h.greeted.Do(func() { h.greet(ctx) })
	return h.auth.Challenge()
}

// greet asks what the distribution spec has for it. An answer without a challenge, or none, tells nothing.
func (h *host) greet(ctx context.Context) {
	if h.budget.Acquire(ctx) != nil {
		return
	}
	defer h.budget.Release()
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
	if c, ok := auth.ParseChallenge(resp.Header); ok && resp.StatusCode == http.StatusUnauthorized {
		h.auth.Learn(c)
	}
}

// refused is the error of credentials that a push is refused to. It says which they are, by their place.
func (l location) refused(ctx context.Context, want auth.Access, err error) error {
	name := l.host.endpoint.Registry + "/" + want.Repository
	e := &regerror.Error{Doing: askingToPush}
	var said *regerror.Error
	if errors.As(err, &said) {
		e.Status, e.Code, e.Words = said.Status, said.Code, said.Words
	}
	why := notAllowed{origin: "the credentials that there are for it", advice: "give that account the right to push to " + name + ", or create the repository"}
	if k, ok := l.host.client.credentials.(informant); ok {
		why.origin = k.Origin(ctx, want.Side, l.host.endpoint.Registry, want.Repository)
	}
	switch {
	case want.Credential == credentials.Credential{}:
		why.advice = fmt.Sprintf("add an entry for %s or %s to the credentials for pushing", name, l.host.endpoint.Registry)
	case e.Status == http.StatusUnauthorized:
		why.advice = "correct the user or the password there"
	}
	e.Err = regerror.Permanent(why)
	return e
}

// notAllowed is why a push is refused.
type notAllowed struct{ origin, advice string }

func (n notAllowed) Error() string  { return "the registry grants none with " + n.origin }
func (n notAllowed) Advice() string { return n.advice }
