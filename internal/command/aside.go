package command

import (
	"io"
	"sync"
	"time"
)

// maxAside bounds what an Aside keeps for its writer, in bytes.
const maxAside = 8 << 20

// An Aside writes to another writer in a goroutine, so that nobody waits for a writer that
// blocks, such as a pipe that is not read or a stopped terminal. It drops what is too much to
// keep.
type Aside struct {
	mu      sync.Mutex
	changed *sync.Cond
	kept    []byte
	busy    bool // a write is under way
}

// NewAside returns an Aside that writes to w.
func NewAside(w io.Writer) *Aside {
	a := &Aside{}
	a.changed = sync.NewCond(&a.mu)
	go a.serve(w)
	return a
}

// Write keeps p for the writer. It never blocks and never fails.
func (a *Aside) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.kept)+len(p) <= maxAside {
		a.kept = append(a.kept, p...)
	}
	a.changed.Broadcast()
	return len(p), nil
}

func (a *Aside) serve(w io.Writer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for {
		for len(a.kept) == 0 {
			a.changed.Wait()
		}
		p := a.kept
		a.kept, a.busy = nil, true
		a.mu.Unlock()
		_, _ = w.Write(p) // if that fails, there is nobody to tell
		a.mu.Lock()
		a.busy = false
		a.changed.Broadcast()
	}
}

// Flush waits until everything is written, but no longer than patience.
func (a *Aside) Flush(patience time.Duration) {
	late := false
	timer := time.AfterFunc(patience, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		late = true
		a.changed.Broadcast()
	})
	defer timer.Stop()
	a.mu.Lock()
	defer a.mu.Unlock()
	for !late && (a.busy || len(a.kept) > 0) {
		a.changed.Wait()
	}
}
