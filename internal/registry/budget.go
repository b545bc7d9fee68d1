package registry

import (
	"cmp"
	"container/list"
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"imagemirror/internal/reference"
	"imagemirror/internal/regerror"
	"imagemirror/internal/retry"
	"imagemirror/internal/waits"
)

// A budget bounds the requests to one registry: how many are in flight, and optionally
// how many start per second. The limit in flight is halved when the registry throttles,
// and grows by one per round of good answers. Retry-After holds back every request.
//
// A download keeps its slot until its upload has one elsewhere. So downloads never take
// the last slot of a registry that is a destination, too: between two registries that are
// each other's source and destination, uploads always proceed.
type budget struct {
	rate *rate.Limiter // nil without a rate
	max  int           // what limit grows to
	host string        // the registry, for whoever watches the waits

	traffic tallies
	meter   meter

	mu        sync.Mutex
	sides     map[reference.Side]bool // that the registry is on
	floor     float64                 // what limit shrinks to
	limit     float64
	inFlight  int
	downloads int
	waiting   [4]list.List // of chan struct{}, by slotKind
	paused    time.Time    // no request starts before
	shrunk    time.Time    // when limit was last halved
}

func newBudget(concurrency int, perSecond float64) *budget {
	b := &budget{max: concurrency, sides: map[reference.Side]bool{}, floor: 1, limit: float64(concurrency)}
	b.meter.turn = make(chan struct{}, 1)
	if perSecond > 0 {
		b.rate = rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond/10)))
	}
	return b
}

// isPaused reports whether the registry asked to be left alone for now.
func (b *budget) isPaused() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Now().Before(b.paused)
}

// isCrowded reports whether requests wait for a slot that end by themselves.
func (b *budget) isCrowded() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waiting[child].Len()+b.waiting[request].Len() > 0
}

// use notes a side that the registry is on. A registry on both needs room for a
// download and an upload at once.
func (b *budget) use(side reference.Side) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sides[side] = true
	if len(b.sides) < 2 {
		return
	}
	b.floor, b.max = 2, max(2, b.max)
	b.limit = max(2, b.limit)
	b.grantLocked()
}

// Several reports whether more than one request may be in flight.
func (b *budget) Several() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.limit >= 2
}

// slotKind is what a slot is for.
type slotKind int

const (
	child    slotKind = iota // needs no other slot to end; an image that is begun waits for it
	request                  // needs no other slot to end
	listing                  // needs no other slot to end; what it lists is needed last
	download                 // may wait for an upload, which needs a slot elsewhere
)

// Acquire waits for a slot for a request that ends by itself. The caller gives it back
// with Release.
func (b *budget) Acquire(ctx context.Context) error { return b.acquire(ctx, request) }

// Release gives back a slot of Acquire.
func (b *budget) Release() { b.release(request) }

// acquire waits for a slot. The caller gives it back with release.
func (b *budget) acquire(ctx context.Context, k slotKind) error {
	b.mu.Lock()
	if b.fitsLocked(k) && b.waiting[k].Len() == 0 {
		b.takeLocked(k)
		b.mu.Unlock()
		return b.start(ctx, k)
	}
	ready := make(chan struct{})
	at := b.waiting[k].PushBack(ready)
	b.mu.Unlock()
	granted := waits.Begin(ctx, waits.Wait{Kind: waits.Slot, Host: b.host})
	select {
	case <-ready:
		granted()
		return b.start(ctx, k)
	case <-ctx.Done():
		granted()
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

// A slot is one request in flight, which a download keeps when it breaks off, until it
// is resumed. While the download feeds an upload, which holds a slot elsewhere, it must
// not wait for another slot: the two could wait for each other forever.
type slot struct {
	in      *budget // nil while there is none
	feeding bool
	held    atomic.Bool // in is not nil
}

// take makes s a slot of b, unless it is one already. It does not wait while
// s feeds an upload: then it fails with regerror.ErrBusy if b is full.
func (s *slot) take(ctx context.Context, b *budget) error {
	if s.in == b {
		return nil
	}
	if s.feeding {
		if !b.try() {
			return regerror.ErrBusy
		}
		s.release()
		s.in, s.feeding = b, true
		s.held.Store(true)
		return nil
	}
	s.release()
	if err := b.acquire(ctx, download); err != nil {
		return err
	}
	s.in = b
	s.held.Store(true)
	return nil
}

func (s *slot) release() {
	s.feeding = false
	if s.in != nil {
		s.in.release(download)
		s.in = nil
		s.held.Store(false)
	}
}

// try takes a slot for a download if one is free, and reports whether it did.
func (b *budget) try() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.fitsLocked(download) {
		return false
	}
	b.takeLocked(download)
	return true
}

// start waits while the registry is paused, and for the rate. On an error it releases
// the slot.
func (b *budget) start(ctx context.Context, k slotKind) error {
	for {
		b.mu.Lock()
		wait := time.Until(b.paused)
		b.mu.Unlock()
		if wait <= 0 {
			break
		}
		over := waits.Begin(ctx, waits.Wait{Kind: waits.Pause, Host: b.host, Limit: wait})
		err := retry.Sleep(ctx, wait)
		over()
		if err != nil {
			b.release(k)
			return err
		}
	}
	if b.rate == nil {
		return nil
	}
	defer waits.Begin(ctx, waits.Wait{Kind: waits.Turn, Host: b.host})()
	if err := b.rate.Wait(ctx); err != nil {
		b.release(k)
		return cmp.Or(context.Cause(ctx), retry.ErrTooLong)
	}
	return nil
}

func (b *budget) release(k slotKind) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inFlight--
	if k == download {
		b.downloads--
	}
	b.grantLocked()
}

// grantLocked hands free slots to waiting requests. It needs b.mu.
func (b *budget) grantLocked() {
	for _, k := range []slotKind{child, request, listing, download} {
		for q := &b.waiting[k]; q.Len() > 0 && b.fitsLocked(k); {
			close(q.Remove(q.Front()).(chan struct{}))
			b.takeLocked(k)
		}
	}
}

// fitsLocked reports whether a slot is free. It needs b.mu. Downloads count as at most
// all slots but one, even if more were under way when the limit shrank: the uploads
// that they wait for must find one.
func (b *budget) fitsLocked(k slotKind) bool {
	limit := int(b.limit)
	if !b.sides[reference.Destination] {
		return b.inFlight < limit // no upload here waits for a slot
	}
	if k == download {
		return b.inFlight < limit && b.downloads < max(1, limit-1)
	}
	return b.inFlight-b.downloads+min(b.downloads, max(0, limit-1)) < limit
}

// takeLocked counts a slot as used. It needs b.mu.
func (b *budget) takeLocked(k slotKind) {
	b.inFlight++
	if k == download {
		b.downloads++
	}
}

// succeeded notes a good answer, which lets the limit grow.
func (b *budget) succeeded() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.limit < float64(b.max) {
		b.limit = min(float64(b.max), b.limit+1/b.limit)
		b.grantLocked()
	}
}

// throttled halves the limit and holds back every request for pause. It does not halve
// for requests that began before the last cut, since they were sent at the old limit.
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
