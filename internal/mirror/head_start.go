package mirror

import (
	"context"
	"errors"
	"sync"

	"imagemirror/internal/reference"
	"imagemirror/internal/registry"
)

// A HeadStart opens uploads while the run that will send the blobs is still being planned: the
// destination has nothing else to do until the last manifests are read. It opens those that the
// run would open, each for the first image that needs the blob, and never more than a few. The run
// takes them over. A nil HeadStart has none.
type HeadStart struct {
	ctx    context.Context
	cancel context.CancelFunc
	client *registry.Client
	asking chan struct{} // has an entry for each request under way

	mu     sync.Mutex
	left   int                  // uploads that may still be opened
	seen   map[string]bool      // blobs that an earlier image needs, by digest
	repos  map[string]*started  // by name
	opened map[opening]*attempt // those that the run has not taken over
}

// An opening is a blob in a destination repository.
type opening struct{ repository, digest string }

// An attempt is an upload that is being opened.
type attempt struct {
	answered chan struct{}    // closed when the rest is set
	up       *registry.Upload // nil if the registry has the blob, or err is set
	err      error
}

// A started is a repository whose first upload goes alone: see firstPush.
type started struct {
	to       *registry.Repository
	answered chan struct{} // closed when the first upload has been answered; nil if it was not begun
	accepted bool
}

// openedPerSlot bounds the uploads that are opened for each request slot. They are what a
// destination answers while the manifests of a hundred images are read, and the first blobs.
const openedPerSlot = 10

// NewHeadStart returns a HeadStart for a run with the client. It needs to be closed.
func NewHeadStart(ctx context.Context, client *registry.Client) *HeadStart {
	ctx, cancel := context.WithCancel(ctx)
	return &HeadStart{
		ctx: ctx, cancel: cancel, client: client, left: openedPerSlot * client.Concurrency(),
		asking: make(chan struct{}, client.Concurrency()),
		seen:   map[string]bool{}, repos: map[string]*started{}, opened: map[opening]*attempt{},
	}
}

// Open begins to open uploads of an image's blobs that no earlier image needs. Call it for the
// images in the order of their jobs. It reports whether there may be more.
func (h *HeadStart) Open(to reference.Reference, digests []string) (more bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, digest := range digests {
		if h.left == 0 {
			return false
		}
		if h.seen[digest] {
			continue
		}
		h.seen[digest] = true
		if r := h.repoLocked(to); r != nil {
			h.left--
			h.beginLocked(r, opening{to.Name(), digest})
		}
	}
	return true
}

// beginLocked begins to open an upload. It needs mu.
func (h *HeadStart) beginLocked(r *started, at opening) {
	a := &attempt{answered: make(chan struct{})}
	h.opened[at] = a
	first := r.answered == nil
	if first {
		r.answered = make(chan struct{})
	}
	go h.open(r, first, at.digest, a)
}

// repoLocked returns a destination repository, or nil if it is not known where that is. It needs
// mu.
func (h *HeadStart) repoLocked(to reference.Reference) *started {
	name := to.Name()
	if _, known := h.repos[name]; !known {
		var r *started
		if at, err := h.client.Destination(h.ctx, to, true); err == nil {
			r = &started{to: at}
		}
		h.repos[name] = r
	}
	return h.repos[name]
}

// errNotOpened is the error of uploads to a repository whose first one was not accepted.
var errNotOpened = errors.New("the first upload was not accepted")

func (h *HeadStart) open(r *started, first bool, digest string, a *attempt) {
	defer close(a.answered)
	if !first {
		<-r.answered
		if !r.accepted {
			a.err = errNotOpened
			return
		}
	}
	a.up, a.err = h.begin(r, digest)
	if first {
		r.accepted = a.err == nil
		close(r.answered)
	}
}

// begin opens an upload. It waits here if the head start has no slot left. Waiting in the budget
// would put these requests before those of the run, which may have begun meanwhile.
func (h *HeadStart) begin(r *started, digest string) (*registry.Upload, error) {
	select {
	case h.asking <- struct{}{}:
		defer func() { <-h.asking }()
		return r.to.Begin(h.ctx, digest, r.to.Path())
	case <-h.ctx.Done():
		return nil, context.Cause(h.ctx)
	}
}

// take hands an upload over, once, when it has been answered. It reports whether the registry
// accepted it. If it did not, the run begins as if nobody had asked.
func (h *HeadStart) take(ctx context.Context, repository, digest string) (up *registry.Upload, ok bool) {
	if h == nil {
		return nil, false
	}
	h.mu.Lock()
	at := opening{repository, digest}
	a := h.opened[at]
	delete(h.opened, at)
	h.mu.Unlock()
	if a == nil {
		return nil, false
	}
	select {
	case <-a.answered:
		return a.up, a.err == nil
	case <-ctx.Done():
		return nil, false
	}
}

// Close cancels the uploads that no run has taken over, since their images have failed.
func (h *HeadStart) Close() {
	h.mu.Lock()
	opened := h.opened
	h.left, h.opened = 0, nil
	h.mu.Unlock()
	interrupted := h.ctx.Err() != nil
	h.cancel()
	for _, a := range opened {
		<-a.answered
		if a.up != nil && !interrupted {
			a.up.Cancel(context.WithoutCancel(h.ctx))
		}
	}
}
