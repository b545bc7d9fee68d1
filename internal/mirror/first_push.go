package mirror

import (
	"context"
	"time"

	"imagemirror/internal/regerror"
	"imagemirror/internal/registry"
	"imagemirror/internal/retry"
	"imagemirror/internal/waits"
)

// A firstPush keeps all other pushes to a repository waiting until one has been answered. Some
// registries (quay.io among them) create a repository with the first push to it, and answer
// "unauthorized" to pushes that come at the same time (github.com/containers/skopeo issue 1416). So
// the first goes alone, and is tried once more if it is denied.
type firstPush struct {
	done     bool          // pushes need not wait
	accepted bool          // the registry accepted a push
	err      error         // the registry denies pushes to the repository
	pending  chan struct{} // closed when the first push has been answered; nil while there is none
}

// denied reports whether err refuses access to the whole repository. A quota or a rate limit with
// 403 does not.
func denied(err error) bool { return regerror.IsDenial(err) }

// secondTry is how long a registry gets to create a repository before it is asked again.
const secondTry = time.Second

// beginUpload begins an upload of a blob, or mounts it, as registry.Repository.Begin does. It waits
// for the repository's first push.
func (e *engine) beginUpload(ctx context.Context, r *repo, digest, from string) (*registry.Upload, error) {
	first, err := e.awaitFirst(ctx, r)
	if err != nil {
		return nil, err
	}
	up, err := r.to.Begin(ctx, digest, from)
	if first && denied(err) {
		if retry.Sleep(ctx, secondTry) == nil {
			up, err = r.to.Begin(ctx, digest, "")
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	r.first.answeredLocked(err, first)
	return up, err
}

// answeredLocked notes the answer to a push. first reports whether awaitFirst let it go alone.
func (p *firstPush) answeredLocked(err error, first bool) {
	switch {
	case err == nil:
		p.accepted, p.err = true, nil
		p.done = p.done || !first && p.pending == nil
	case denied(err) && !p.accepted && first:
		p.err = err
	case denied(err) && !p.accepted:
		p.done = false // the next one goes alone and finds out
	}
	if first {
		p.done = err == nil || p.accepted
		close(p.pending)
		p.pending = nil
	}
}

// awaitFirst waits until the repository's first push has been answered, and reports whether the
// caller's push is the first.
func (e *engine) awaitFirst(ctx context.Context, r *repo) (first bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		if err := context.Cause(ctx); err != nil {
			return false, err
		}
		switch {
		case r.first.err != nil:
			return false, r.first.err
		case r.first.done:
			return false, nil
		case r.first.pending == nil:
			r.first.pending = make(chan struct{})
			return true, nil
		}
		pending := r.first.pending
		e.mu.Unlock()
		answered := waits.Begin(ctx, waits.Wait{Kind: waits.First, Host: r.to.Registry()})
		select {
		case <-pending:
		case <-ctx.Done():
		}
		answered()
		e.mu.Lock()
	}
}
