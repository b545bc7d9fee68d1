package progress

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// transfer is one blob on its way.
type transfer struct {
	*live
	digest, repository string
	size               int64
	began              time.Time
	crossed            atomic.Int64
}

// Add counts bytes that crossed, or takes back some that have to cross again.
func (t *transfer) Add(n int64) {
	t.crossed.Add(n)
	t.done.Add(n)
}

// Done ends the transfer. What crossed for nothing is not counted.
func (t *transfer) Done(err error) {
	t.flights.remove(t)
	if err != nil {
		t.done.Add(-t.crossed.Load())
	}
}

const (
	maxRows = 6                      // transfers that are shown
	settle  = 300 * time.Millisecond // how old a transfer is when it gets a line: most are over before
)

// flights are the transfers that are under way.
type flights struct {
	mu      sync.Mutex
	running []*transfer
	rows    [maxRows]*transfer // those that are shown; each keeps its line
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

// show gives the free ones of the first rows lines to the largest transfers that wait for one. It returns the lines, and how many
// transfers wait.
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

// waiting are the transfers that are old enough for a line and have none, the largest first.
func (f *flights) waiting() []*transfer {
	var waiting []*transfer
	for _, t := range f.running {
		if time.Since(t.began) >= settle && !slices.Contains(f.rows[:], t) {
			waiting = append(waiting, t)
		}
	}
	slices.SortStableFunc(waiting, func(a, b *transfer) int { return cmp.Compare(b.size, a.size) })
	return waiting
}
