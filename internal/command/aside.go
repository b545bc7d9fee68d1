package command

import (
	"io"
	"sync"
	"time"
)

// maxAside is how much an Aside keeps of what its writer does not take, in bytes.
const maxAside = 8 << 20

// An Aside writes to another writer from a goroutine of its own, so that nobody waits for one that takes nothing: a pipe that is
// not read, a terminal that was stopped. What is too much to keep is dropped.
type Aside struct {
	mu      sync.Mutex
	changed *sync.Cond
	kept    []byte
	busy    bool // the writer has something that it has not taken
}

// NewAside begins to write to w.
func NewAside(w io.Writer) *Aside {
	a := &Aside{}
	a.changed = sync.NewCond(&a.mu)
	go a.serve(w)
	return a
}

// Write keeps p. It does not wait, and does not fail.
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
		_, _ = w.Write(p) // where that fails, there is nobody to tell
		a.mu.Lock()
		a.busy = false
		a.changed.Broadcast()
	}
}

// Flush waits until all is written, but no longer than patience.
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
