package registry

import (
	"context"
	"fmt"
	"net/http"

	"imagemirror/internal/auth"
	"imagemirror/internal/credentials"
	"imagemirror/internal/fault"
	"imagemirror/internal/reference"
	"imagemirror/internal/regerror"
)

// An informant is a CredentialSource that describes its credentials.
type informant interface {
	// Origin says where a credential comes from, without anything secret.
	Origin(ctx context.Context, side reference.Side, registry, repository string) string
	// Empty reports whether it has no credential for any registry.
	Empty() bool
}

// explainDenial adds to the error of a request that was denied which credentials it was
// sent with.
func (h *host) explainDenial(ctx context.Context, want auth.Access, e *regerror.Error) {
	if e.Err != nil || e.Host != "" && e.Doing != regerror.GettingToken || !regerror.IsDenial(e) {
		return
	}
	if why, known := h.denial(ctx, want, e); known {
		e.Err = why
	}
}

// denial returns why access is denied and what to do about that. known reports whether
// the credentials can be described.
func (h *host) denial(ctx context.Context, want auth.Access, e *regerror.Error) (why notAllowed, known bool) {
	name := h.endpoint.Registry + "/" + want.Repository
	why.kind = kindOfDenial(want, e)
	who := "the credentials"
	if e.Doing == checkingPush {
		who = "that account" // which the message has named
	}
	access, purpose, otherwise := "pull", "credentials", "correct the source's name"
	if want.Side == reference.Destination {
		access, purpose, otherwise = "push", "credentials for pushing", "create the repository"
	}
	switch tokens := e.Doing != ""; {
	case want.Credential == credentials.Credential{} && want.Side == reference.Source:
		why.advice = fmt.Sprintf("add an entry for %s or %s to the %s, or %s", name, h.endpoint.Registry, purpose, otherwise)
	case want.Credential == credentials.Credential{}:
		why.advice = fmt.Sprintf("add an entry for %s or %s to the %s", name, h.endpoint.Registry, purpose)
	case !tokens && e.Status == http.StatusUnauthorized && !h.auth.Challenge().HasTokens():
		why.advice = fmt.Sprintf("grant %s %s access to %s, or log in to %s again", who, access, name, h.endpoint.Registry)
	case tokens && e.Status == http.StatusUnauthorized:
		why.advice = "log in to " + h.endpoint.Registry + " again: correct the user name or the password there"
	default:
		why.advice = fmt.Sprintf("grant %s %s access to %s, or %s", who, access, name, otherwise)
	}
	k, known := h.client.credentials.(informant)
	if known {
		why.origin = k.Origin(ctx, want.Side, h.endpoint.Registry, want.Repository)
	}
	if want.Credential != (credentials.Credential{}) && !h.auth.Admits(want) {
		why.origin += ", which was not sent: the registry asks for neither Basic nor Bearer authentication"
	}
	return why, known
}

// kindOfDenial returns the kind of a request that was denied. A preflight has no answer: its token
// does not have the scope.
func kindOfDenial(want auth.Access, e *regerror.Error) fault.Kind {
	switch {
	case want.Credential == credentials.Credential{}:
		return fault.Credentials
	case e.Status == 0:
		return fault.Denied
	}
	return e.Kind()
}

// notAllowed is the cause of a request that is denied, with its own advice.
type notAllowed struct {
	origin, advice string
	kind           fault.Kind
}

func (n notAllowed) Error() string    { return "denied with " + n.origin }
func (n notAllowed) Advice() string   { return n.advice }
func (n notAllowed) Kind() fault.Kind { return n.kind }
