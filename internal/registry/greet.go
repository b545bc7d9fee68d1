package registry

import (
	"context"
	"net/http"

	"imagemirror/internal/auth"
	"imagemirror/internal/credentials"
	"imagemirror/internal/digest"
	"imagemirror/internal/regerror"
)

// ExpectsChallenge returns a channel that is closed when the repository's registry probably
// demands authentication: there are credentials for it, or it speaks TLS, as all public ones do,
// or another registry of the client demanded it. A registry in a lab does not, and Greet would
// cost it a request.
func (r *Repository) ExpectsChallenge() <-chan struct{} {
	ep := r.endpoints[0]
	if *ep.host.scheme.Load() == "https" || ep.access.Credential != (credentials.Credential{}) {
		now := make(chan struct{})
		close(now)
		return now
	}
	return ep.host.client.challenged
}

// Greet makes the first request to the repository's registry, unless one was made: HEAD of a
// tag. If the registry demands a token, Greet waits for it, and leaves the tag to others, who
// share the token. Otherwise it returns the tag's digest. It returns "" if there is none: it
// makes one attempt, and those who ask next find out why.
func (r *Repository) Greet(ctx context.Context, tag string) string {
	ep := r.endpoints[0]
	h := ep.host
	answered, err := h.auth.Begin(ctx)
	if err != nil || answered == nil {
		return ""
	}
	defer answered()
	c := ep.headCall(tag)
	resp, sent, err := h.send(ctx, c, auth.Authorization{})
	if err != nil {
		return ""
	}
	h.health.answered()
	if h.judge(c, resp, sent) {
		found := resp.Header.Get("Docker-Content-Digest")
		discard(resp)
		if !digest.Valid(found) {
			return ""
		}
		return found
	}
	e := regerror.FromResponse(resp)
	discard(resp)
	a := &callAttempt{host: h, call: c, sent: sent}
	if a.learn(resp, e) || a.authorizable(ctx, resp, e) {
		h.client.sawChallenge()
		h.auth.Await(ctx, c.access)
	}
	return ""
}

// challenge returns which authentication the registry asks for. One that answers everyone has
// not said so yet: if ask is true, it is asked once.
func (h *host) challenge(ctx context.Context, ask bool) auth.Challenge {
	if c := h.auth.Challenge(); !c.IsZero() || !ask {
		return c
	}
	h.pinged.Do(func() {
		if h.budget.Acquire(ctx) == nil {
			h.ping(ctx)
			h.budget.Release()
		}
	})
	return h.auth.Challenge()
}

// ping requests /v2/, whose answer has the challenge by the distribution spec. One that is known
// stays: that of JFrog Artifactory's repositories is another. ping reports whether there was any
// answer.
func (h *host) ping(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, h.client.config.Stall)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, *h.scheme.Load()+"://"+h.address+"/v2/", nil)
	if err != nil {
		return false
	}
	req.Header.Set("User-Agent", userAgent)
	resp, err := h.itself.small.Do(req)
	if err != nil {
		return false
	}
	c, ok := auth.ParseChallenge(resp)
	if ok && resp.StatusCode == http.StatusUnauthorized && h.auth.Challenge().IsZero() {
		h.auth.Learn(c)
	}
	discard(resp)
	return ctx.Err() == nil // else its body never came
}
