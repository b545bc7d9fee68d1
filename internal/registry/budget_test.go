package registry

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"imagemirror/internal/reference"
)

func TestBudgetBoundsRequests(t *testing.T) {
	b := newBudget(4, 0)
	var now, most atomic.Int32
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			if err := b.acquire(t.Context(), slotKind(i%3)); err != nil {
				t.Error(err)
				return
			}
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			now.Add(-1)
			b.release(slotKind(i % 3))
		})
	}
	all.Wait()
	if got := most.Load(); got > 4 {
		t.Errorf("%d requests were in flight at once, and 4 are allowed", got)
	}
	if b.inFlight != 0 || b.downloads != 0 {
		t.Errorf("%d requests and %d downloads are left", b.inFlight, b.downloads)
	}
}

func TestBudgetKeepsASlotForUploads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(3, 0)
		b.use(reference.Destination)
		for range 2 {
			if err := b.acquire(t.Context(), download); err != nil {
				t.Fatal(err)
			}
		}
		third, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := b.acquire(third, download); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a third download with three slots: %v, want to wait for ever", err)
		}
		if err := b.Acquire(t.Context()); err != nil {
			t.Errorf("an upload beside two downloads with three slots: %v", err)
		}
	})
}

// What an image that is begun waits for goes first. A list waits until no other request does, and
// goes before downloads.
func TestSlotsGoToWhatIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(1, 0)
		if err := b.acquire(t.Context(), listing); err != nil { // nothing else waits
			t.Fatal(err)
		}
		var got []slotKind
		var all sync.WaitGroup
		for _, k := range []slotKind{download, listing, request, child, listing, request, child} {
			all.Go(func() {
				if err := b.acquire(t.Context(), k); err != nil {
					t.Error(err)
				}
				got = append(got, k)
				b.release(k)
			})
			synctest.Wait()
		}
		b.release(listing)
		all.Wait()
		if want := []slotKind{child, child, request, request, listing, listing, download}; !slices.Equal(got, want) {
			t.Errorf("slots were granted to %v, want %v", got, want)
		}
	})
}

// No upload waits for a slot of a registry that is a source only, so downloads may take them all.
func TestDownloadsTakeAllSlotsOfASource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(2, 0)
		b.use(reference.Source)
		for range 2 {
			if err := b.acquire(t.Context(), download); err != nil {
				t.Fatal(err)
			}
		}
		uploading := make(chan error)
		go func() { uploading <- b.Acquire(t.Context()) }()
		synctest.Wait()
		select {
		case err := <-uploading:
			t.Fatalf("a third request with two slots: %v, want it to wait", err)
		default:
		}
		b.use(reference.Destination) // from now on an upload may be what a download waits for
		if err := <-uploading; err != nil {
			t.Error(err)
		}
	})
}

// If the limit shrinks during downloads, the uploads that they wait for still get slots.
func TestShrunkBudgetKeepsASlotForUploads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(8, 0)
		b.use(reference.Source)
		b.use(reference.Destination)
		for range 7 {
			if err := b.acquire(t.Context(), download); err != nil {
				t.Fatal(err)
			}
		}
		for range 5 {
			time.Sleep(time.Second)
			b.throttled(time.Now(), 0)
		}
		soon, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := b.Acquire(soon); err != nil {
			t.Errorf("an upload after the limit shrank to %g under 7 downloads: %v", b.limit, err)
		}
	})
}

func TestBudgetShrinksAndGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(16, 0)
		time.Sleep(time.Second)
		began := time.Now()
		time.Sleep(time.Second)
		b.throttled(began, 0)
		if b.limit != 8 {
			t.Errorf("the limit is %g after one refusal, want 8", b.limit)
		}
		b.throttled(began, 0)
		if b.limit != 8 {
			t.Errorf("the limit is %g after a refusal of a request that began before the last cut, want 8", b.limit)
		}
		for range 10 {
			time.Sleep(time.Second)
			b.throttled(time.Now(), 0)
		}
		if b.limit != 1 {
			t.Errorf("the limit is %g after ten refusals, want 1", b.limit)
		}
		for range 1000 {
			b.succeeded()
		}
		if b.limit != 16 {
			t.Errorf("the limit is %g after a thousand good answers, want 16", b.limit)
		}
	})
}

func TestBudgetPausesEveryone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(16, 0)
		start := time.Now()
		b.throttled(start, 7*time.Second)
		b.throttled(start, 3*time.Second)
		for range 4 {
			if err := b.Acquire(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if waited := time.Since(start); waited != 7*time.Second {
			t.Errorf("requests waited %s, want the longest Retry-After of 7s", waited)
		}
	})
}

func TestBudgetKeepsToTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(16, 5)
		start := time.Now()
		for range 11 {
			if err := b.Acquire(t.Context()); err != nil {
				t.Fatal(err)
			}
			b.Release()
		}
		if took := time.Since(start); took < 2*time.Second || took > 2100*time.Millisecond {
			t.Errorf("11 requests at 5 a second took %s, want 2s after the first", took)
		}
	})
}
