package registry

import (
	"context"
	"errors"
	"slices"

	"imagemirror/internal/auth"
	"imagemirror/internal/credentials"
	"imagemirror/internal/regerror"
)

// IsChallenged reports whether it is known which authentication the repository's registry asks for.
// If not, AnnouncePush may have to ask.
func (r *Repository) IsChallenged() bool {
	return !slices.ContainsFunc(r.endpoints, func(ep repoEndpoint) bool { return ep.host.auth.Challenge().IsZero() })
}

// AnnouncePush notes that MayPush will be called for the repository, and reports
// whether it can be: the registry must have a token service, and asking that must not
// write. If all repositories are announced first, one token serves many. Those that have as many
// scopes as they take are prefetched. exists means that the repository is known to be there.
func (r *Repository) AnnouncePush(ctx context.Context, exists bool) bool {
	can := false
	for _, ep := range r.endpoints {
		c := ep.host.challenge(ctx, ep.host.client.hasCredentials(ep.access.Credential))
		if c.HasTokens() && ep.access.Credential.RegistryToken == "" && (exists || !c.CreatesRepositories()) {
			ep.host.auth.Announce(ctx, ep.pushing(), nil)
			ep.host.auth.PrefetchFull()
			can = true
		}
	}
	return can
}

// PushesAtOnce reports whether a push has what authorizes it, as far as is known. A token that was
// not announced would be asked for by itself, and not together with others.
func (r *Repository) PushesAtOnce() bool {
	return !slices.ContainsFunc(r.endpoints, func(ep repoEndpoint) bool {
		switch c := ep.host.auth.Challenge(); {
		case c.IsZero():
			return false
		case c.HasTokens():
			return !ep.host.auth.Announced(ep.pushing())
		}
		return !ep.host.auth.Admits(ep.pushing())
	})
}

// MayPush asks for a token to push with, as copying will, and writes nothing. It fails
// only if the credentials are refused.
func (r *Repository) MayPush(ctx context.Context) error {
	for _, ep := range r.endpoints {
		if err := ep.mayPush(ctx); err != nil {
			return r.fail(err, checkingPush, "")
		}
	}
	return nil
}

// checkingPush is the Doing of MayPush's errors.
const checkingPush = "checking push access to"

// pushing returns the access that copying will want.
func (ep repoEndpoint) pushing() auth.Access {
	want := ep.access
	want.Push = true
	return want
}

func (ep repoEndpoint) mayPush(ctx context.Context) error {
	want := ep.pushing()
	if now, err := ep.host.client.credentials.For(ctx, want.Side, ep.host.endpoint.Registry, want.Repository); err == nil {
		want.Credential = now
	}
	ep.host.auth.Await(ctx, want)
	if ep.host.budget.Acquire(ctx) != nil {
		return nil
	}
	refused, err := ep.host.auth.CheckPush(ctx, want)
	ep.host.budget.Release()
	if !refused {
		return nil // it may not happen again when copy asks
	}
	return ep.refused(ctx, want, err)
}

// hasCredentials reports whether there are any credentials: the one found, or one for
// another registry.
func (c *Client) hasCredentials(found credentials.Credential) bool {
	if found != (credentials.Credential{}) {
		return true
	}
	k, ok := c.credentials.(informant)
	return ok && !k.Empty()
}

// refused returns the error of credentials that may not push. It says where they come
// from.
func (ep repoEndpoint) refused(ctx context.Context, want auth.Access, err error) error {
	e := &regerror.Error{Doing: checkingPush}
	var said *regerror.Error
	if errors.As(err, &said) {
		e.Status, e.Code, e.Words = said.Status, said.Code, said.Words
	}
	why, known := ep.host.denial(ctx, want, e)
	if !known {
		why.origin = "the credentials for it"
	}
	e.Err = regerror.Permanent(why)
	return e
}
