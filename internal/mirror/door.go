package mirror

import (
	"context"
	"net/http"
	"time"

	"imagemirror/internal/registry"
	"imagemirror/internal/retry"
)

// door is the way into a repository. Some registries (quay.io among them) make a repository with the first push to it,
// and answer "unauthorized" to others that come at the same time (github.com/containers/skopeo issue 1416): so the
// first goes alone, and is tried once more where it was denied.
type door struct {
	open   bool          // nobody has to wait
	passed bool          // somebody came in
	err    error         // the repository may not be pushed to
	opener chan struct{} // closed when the first has been answered
}

// denied says whether an answer is a no for the whole repository.
func denied(err error) bool {
	status := registry.StatusOf(err)
	return status == http.StatusUnauthorized || status == http.StatusForbidden
}

// secondKnock is how long a registry gets to make a repository before it is asked again.
const secondKnock = time.Second

// upload begins a blob's way into a repository; see registry.Repository.Begin.
func (e *engine) upload(ctx context.Context, r *repo, digest, from string) (*registry.Upload, error) {
	first, err := e.enter(ctx, r)
	if err != nil {
		return nil, err
	}
	up, err := r.to.Begin(ctx, digest, from)
	if first && denied(err) {
		if retry.Sleep(ctx, secondKnock) == nil {
			up, err = r.to.Begin(ctx, digest, "")
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case err == nil:
		r.door.passed, r.door.err = true, nil
		r.door.open = r.door.open || !first && r.door.opener == nil
	case denied(err) && !r.door.passed && first:
		r.door.err = err
	case denied(err) && !r.door.passed:
		r.door.open = false // whoever comes next goes alone, and finds out
	}
	if !first {
		return up, err
	}
	r.door.open = err == nil || r.door.passed
	close(r.door.opener)
	r.door.opener = nil
	return up, err
}

// enter waits until the repository is open, and says whether the caller is the first.
func (e *engine) enter(ctx context.Context, r *repo) (first bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		if err := context.Cause(ctx); err != nil {
			return false, err
		}
		switch {
		case r.door.err != nil:
			return false, r.door.err
		case r.door.open:
			return false, nil
		case r.door.opener == nil:
			r.door.opener = make(chan struct{})
			return true, nil
		}
		opener := r.door.opener
		e.mu.Unlock()
		select {
		case <-opener:
		case <-ctx.Done():
		}
		e.mu.Lock()
	}
}
