package registry

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"imagemirror/internal/regerror"
)

// An optional remembers what a registry makes of a request that the program can do
// without: a mount, a HEAD, a range, an upload in parts. It never decides whether an
// image arrives: a refusal is followed by the request that is always possible, and
// remembered, so that it costs once. The zero value has seen no answer.
type optional struct {
	mu      sync.Mutex
	works   bool // a request of the kind was answered well
	chances int  // refusals that may have been chance
	refused bool
}

// chancesAtMost is how many refusals may be chance before they count.
const chancesAtMost = 2

// useless reports whether such a request need not be sent.
func (o *optional) useless() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.refused
}

// isProven reports whether such a request was answered well.
func (o *optional) isProven() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.works
}

// worked notes a good answer.
func (o *optional) worked() {
	o.mu.Lock()
	o.works = true
	o.mu.Unlock()
}

// refuse notes a refusal, after the request that replaces this one was accepted. It
// reports whether the registry refuses all such requests. A registry that has accepted
// one before does not, unless it says so with 405 or 501.
func (o *optional) refuse(err error) (all bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch status := regerror.StatusOf(err); {
	case status == http.StatusMethodNotAllowed || status == http.StatusNotImplemented:
		o.refused = true
	case o.works:
	case status == 0 && !regerror.IsMalformed(err), status == http.StatusServiceUnavailable, regerror.IsThrottling(err):
		o.doubtLocked()
	default:
		o.refused = true
	}
	return o.refused
}

// doubt notes a good answer that turned out to be wrong. That may be chance.
func (o *optional) doubt() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.doubtLocked()
}

func (o *optional) doubtLocked() {
	o.chances++
	o.refused = o.refused || o.chances >= chancesAtMost
}

// dispensable reports whether the failure of an optional request leaves room for the
// request that replaces it. It does not if that would fail for the same reason: the run
// has ended, or the registry cannot be reached. A rate limit may be on such requests only,
// so after all tries the other request is sent.
func dispensable(ctx context.Context, err error) bool {
	return err != nil && ctx.Err() == nil && !regerror.IsPermanent(err) &&
		!errors.Is(err, regerror.ErrDown) && !errors.Is(err, regerror.ErrBusy)
}
