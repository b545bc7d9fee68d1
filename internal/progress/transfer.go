package progress

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"imagemirror/internal/waits"
)

// A transfer is one blob on its way. It is told what it waits for.
type transfer struct {
	run *tally
	stack
	digest, repository string
	size               int64
	began              time.Time
	crossed            atomic.Int64
}

// Add counts bytes that were sent, or takes back some that have to be sent again.
func (t *transfer) Add(n int64) {
	t.crossed.Add(n)
	t.run.done.Add(n)
}

// Done ends the transfer. If it failed, its bytes do not count.
func (t *transfer) Done(err error) {
	t.run.flights.remove(t)
	if err != nil {
		t.run.done.Add(-t.crossed.Load())
	}
}

// waitsFor returns what the transfer waits for, and whether it waits.
func (t *transfer) waitsFor() (shownWait, bool) {
	w, ok := t.top()
	w.sent = w.Kind == waits.Upload && t.crossed.Load() >= t.size
	return w, ok
}

const (
	maxRows = 6                      // transfers with a line
	minAge  = 300 * time.Millisecond // of a transfer that gets a line: most are over before
)

// flights are the transfers under way.
type flights struct {
	mu      sync.Mutex
	running []*transfer
	rows    [maxRows]*transfer // those with a line, which they keep
}

func (f *flights) add(t *transfer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running = append(f.running, t)
}

func (f *flights) remove(t *transfer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := slices.Index(f.running, t); i >= 0 {
		f.running = slices.Delete(f.running, i, i+1)
	}
	if i := slices.Index(f.rows[:], t); i >= 0 {
		f.rows[i] = nil
	}
}

// show assigns free lines, of the first rows, to the largest transfers that wait for one. It
// returns the lines, and how many transfers still wait.
func (f *flights) show(rows int) (shown [maxRows]*transfer, more int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := max(rows, 0); i < maxRows; i++ {
		f.rows[i] = nil
	}
	waiting := f.waiting()
	for i := range f.rows[:min(max(rows, 0), maxRows)] {
		if f.rows[i] == nil && len(waiting) > 0 {
			f.rows[i], waiting = waiting[0], waiting[1:]
		}
	}
	return f.rows, len(waiting)
}

// waiting returns the transfers that are old enough for a line and have none, largest first.
func (f *flights) waiting() []*transfer {
	var waiting []*transfer
	for _, t := range f.running {
		if time.Since(t.began) >= minAge && !slices.Contains(f.rows[:], t) {
			waiting = append(waiting, t)
		}
	}
	slices.SortStableFunc(waiting, func(a, b *transfer) int { return cmp.Compare(b.size, a.size) })
	return waiting
}

// waitFor returns what transfers wait for, without those that are shown.
func (f *flights) waitFor(shown []*transfer) []shownWait {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []shownWait
	for _, t := range f.running {
		if slices.Contains(shown, t) {
			continue
		}
		if w, ok := t.waitsFor(); ok {
			all = append(all, w)
		}
	}
	return all
}
