package registry

import (
	"container/list"
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"

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
	sides     map[string]bool // the registry is on
	floor     float64         // the least that limit shrinks to
	limit     float64
	inFlight  int
	downloads int
	waiting   [2]list.List // of chan struct{}: requests that end by themselves, and downloads
	paused    time.Time    // until when no request starts
	shrunk    time.Time    // when limit was last cut
}

func newBudget(concurrency int, perSecond float64) *budget {
	b := &budget{max: concurrency, sides: map[string]bool{}, floor: 1, limit: float64(concurrency)}
	if perSecond > 0 {
		b.rate = rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond/10)))
	}
	return b
}

// use notes a side that the registry is on. Where it is copied from and to there must be room for a download and an
// upload at once.
func (b *budget) use(side string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sides[side] = true
	if len(b.sides) < 2 {
		return
	}
	b.floor, b.max = 2, max(2, b.max)
	b.limit = max(2, b.limit)
}

// several says whether more than one request may be in flight.
func (b *budget) several() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.limit >= 2
}

// acquire waits for a place. The caller gives it back with release.
func (b *budget) acquire(ctx context.Context, download bool) error {
	b.mu.Lock()
	if b.fits(download) && b.waiting[kind(download)].Len() == 0 {
		b.take(download)
		b.mu.Unlock()
		return b.start(ctx, download)
	}
	ready := make(chan struct{})
	at := b.waiting[kind(download)].PushBack(ready)
	b.mu.Unlock()
	select {
	case <-ready:
		return b.start(ctx, download)
	case <-ctx.Done():
	}
	b.mu.Lock()
	select {
	case <-ready: // granted in the meantime
		b.mu.Unlock()
		b.release(download)
	default:
		b.waiting[kind(download)].Remove(at)
		b.mu.Unlock()
	}
	return context.Cause(ctx)
}

// place is one that a download keeps while it breaks off and is taken up again. Once an upload is fed by the download,
// with a place of its own elsewhere, the download must not wait for another place: it could wait for ever.
type place struct {
	in      *budget
	feeding bool
}

// take makes sure that the place is one in b. Where it is another registry's, it is changed for one in b, which takes no
// waiting while it feeds an upload.
func (p *place) take(ctx context.Context, b *budget) error {
	if p.in == b {
		return nil
	}
	if p.feeding {
		if !b.try() {
			return errBusy
		}
		p.giveBack()
		p.in, p.feeding = b, true
		return nil
	}
	p.giveBack()
	if err := b.acquire(ctx, true); err != nil {
		return err
	}
	p.in = b
	return nil
}

func (p *place) giveBack() {
	p.feeding = false
	if p.in != nil {
		p.in.release(true)
		p.in = nil
	}
}

// errBusy is why a download is not taken up from another registry.
var errBusy = errors.New("the registry has no place in flight for the rest of the blob")

// try takes a place for a download if there is one.
func (b *budget) try() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.fits(true) {
		return false
	}
	b.take(true)
	return true
}

// start holds a request back while the registry is paused, and to the rate.
func (b *budget) start(ctx context.Context, download bool) error {
	for {
		b.mu.Lock()
		wait := time.Until(b.paused)
		b.mu.Unlock()
		if wait <= 0 {
			break
		}
		if err := retry.Sleep(ctx, wait); err != nil {
			b.release(download)
			return err
		}
	}
	if b.rate == nil {
		return nil
	}
	if err := b.rate.Wait(ctx); err != nil {
		b.release(download)
		return err
	}
	return nil
}

func (b *budget) release(download bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inFlight--
	if download {
		b.downloads--
	}
	b.grant()
}

// grant hands free places to those who wait.
func (b *budget) grant() {
	for _, download := range []bool{false, true} {
		for q := &b.waiting[kind(download)]; q.Len() > 0 && b.fits(download); {
			close(q.Remove(q.Front()).(chan struct{}))
			b.take(download)
		}
	}
}

// fits says whether there is room. Downloads count as at most all places but one, also when more were under way as
// the limit shrank: the uploads that they wait for must find one.
func (b *budget) fits(download bool) bool {
	limit := int(b.limit)
	if download {
		return b.inFlight < limit && b.downloads < max(1, limit-1)
	}
	return b.inFlight-b.downloads+min(b.downloads, max(0, limit-1)) < limit
}

func (b *budget) take(download bool) {
	b.inFlight++
	if download {
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

func kind(download bool) int {
	if download {
		return 1
	}
	return 0
}
