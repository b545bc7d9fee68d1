package registry

import (
	"container/list"
	"context"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"imagemirror/internal/reference"
	"imagemirror/internal/regerror"
	"imagemirror/internal/retry"
)

// budget is what one registry is asked at once: a number of requests in flight that shrinks by half when the
// registry says that it is too much and grows by one for each full round of good answers, and a rate where one is
// set. A registry that asks for time (Retry-After) gets it from every request.
//
// A blob's download stays in flight until its upload has a place elsewhere, so downloads never take the last place:
// between registries that are each other's source and destination, uploads always go on, and so do downloads.
type budget struct {
	rate *rate.Limiter
	max  int

	mu        sync.Mutex
	sides     map[reference.Side]bool // the registry is on
	floor     float64                 // the least that limit shrinks to
	limit     float64
	inFlight  int
	downloads int
	waiting   [2]list.List // of chan struct{}, by kind
	paused    time.Time    // until when no request starts
	shrunk    time.Time    // when limit was last cut
}

func newBudget(concurrency int, perSecond float64) *budget {
	b := &budget{max: concurrency, sides: map[reference.Side]bool{}, floor: 1, limit: float64(concurrency)}
	if perSecond > 0 {
		b.rate = rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond/10)))
	}
	return b
}

// use notes a side that the registry is on. Where it is copied from and to there must be room for a download and an
// upload at once.
func (b *budget) use(side reference.Side) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sides[side] = true
	if len(b.sides) < 2 {
		return
	}
	b.floor, b.max = 2, max(2, b.max)
	b.limit = max(2, b.limit)
}

// Several reports whether more than one request may be in flight.
func (b *budget) Several() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.limit >= 2
}

// kind is what a slot is for.
type kind int

const (
	request  kind = iota // ends by itself
	download             // may wait for an upload, which needs a slot elsewhere
)

// Acquire waits for a slot for a request that ends by itself. The caller gives it back with Release.
func (b *budget) Acquire(ctx context.Context) error { return b.acquire(ctx, request) }

// Release gives back a slot of Acquire.
func (b *budget) Release() { b.release(request) }

// acquire waits for a slot. The caller gives it back with release.
func (b *budget) acquire(ctx context.Context, k kind) error {
	b.mu.Lock()
	if b.fits(k) && b.waiting[k].Len() == 0 {
		b.take(k)
		b.mu.Unlock()
		return b.start(ctx, k)
	}
	ready := make(chan struct{})
	at := b.waiting[k].PushBack(ready)
	b.mu.Unlock()
	select {
	case <-ready:
		return b.start(ctx, k)
	case <-ctx.Done():
	}
	b.mu.Lock()
	select {
	case <-ready: // granted in the meantime
		b.mu.Unlock()
		b.release(k)
	default:
		b.waiting[k].Remove(at)
		b.mu.Unlock()
	}
	return context.Cause(ctx)
}

// A slot is one request in flight, which a download keeps while it breaks off and is taken up again. Once an upload is
// fed by the download, with a slot of its own elsewhere, the download must not wait for another slot: it could wait for
// ever.
type slot struct {
	in      *budget // nil while there is none
	feeding bool
}

// take makes sure that the slot is one of b. One of another registry's is changed for one of b, without waiting while
// it feeds an upload.
func (p *slot) take(ctx context.Context, b *budget) error {
	if p.in == b {
		return nil
	}
	if p.feeding {
		if !b.try() {
			return regerror.ErrBusy
		}
		p.release()
		p.in, p.feeding = b, true
		return nil
	}
	p.release()
	if err := b.acquire(ctx, download); err != nil {
		return err
	}
	p.in = b
	return nil
}

func (p *slot) release() {
	p.feeding = false
	if p.in != nil {
		p.in.release(download)
		p.in = nil
	}
}

// try takes a slot for a download if there is one.
func (b *budget) try() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.fits(download) {
		return false
	}
	b.take(download)
	return true
}

// start holds a request back while the registry is paused, and to the rate.
func (b *budget) start(ctx context.Context, k kind) error {
	for {
		b.mu.Lock()
		wait := time.Until(b.paused)
		b.mu.Unlock()
		if wait <= 0 {
			break
		}
		if err := retry.Sleep(ctx, wait); err != nil {
			b.release(k)
			return err
		}
	}
	if b.rate == nil {
		return nil
	}
	if err := b.rate.Wait(ctx); err != nil {
		b.release(k)
		return err
	}
	return nil
}

func (b *budget) release(k kind) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inFlight--
	if k == download {
		b.downloads--
	}
	b.grant()
}

// grant hands free slots to those who wait.
func (b *budget) grant() {
	for _, k := range []kind{request, download} {
		for q := &b.waiting[k]; q.Len() > 0 && b.fits(k); {
			close(q.Remove(q.Front()).(chan struct{}))
			b.take(k)
		}
	}
}

// fits says whether there is room. Downloads count as at most all places but one, also when more were under way as
// the limit shrank: the uploads that they wait for must find one.
func (b *budget) fits(k kind) bool {
	limit := int(b.limit)
	if k == download {
		return b.inFlight < limit && b.downloads < max(1, limit-1)
	}
	return b.inFlight-b.downloads+min(b.downloads, max(0, limit-1)) < limit
}

func (b *budget) take(k kind) {
	b.inFlight++
	if k == download {
		b.downloads++
	}
}

// succeeded lets the limit grow.
func (b *budget) succeeded() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.limit < float64(b.max) {
		b.limit = min(float64(b.max), b.limit+1/b.limit)
		b.grant()
	}
}

// throttled halves the limit and keeps every request back for pause. Answers to requests that began before the last
// cut tell nothing new: they do not cut again.
func (b *budget) throttled(began time.Time, pause time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if until := time.Now().Add(pause); until.After(b.paused) {
		b.paused = until
	}
	if began.After(b.shrunk) {
		b.shrunk = time.Now()
		b.limit = max(b.floor, math.Floor(b.limit/2))
	}
}
