package registry

import (
	"sync"
	"time"
)

// health notices a registry that has stopped answering, so that it is not waited for again and again, once for each
// of thousands of images.
type health struct {
	mu     sync.Mutex
	known  bool      // it has answered at least once
	lost   int       // requests given up without an answer since the last one that had any
	probed time.Time // when a request was last let through although the registry is down
}

const (
	lostAtMost = 8               // requests that are given up before a registry counts as down
	firstTries = 4               // tries of a request to a registry that has never answered: its name may be wrong
	probeEvery = 5 * time.Second // how often a registry that is down is tried
)

// tries is how many tries a request gets: all, fewer where the registry has never answered, and where it is down one now and
// then and otherwise none.
func (h *health) tries(all int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lost < lostAtMost && !h.known {
		return min(all, firstTries)
	}
	if h.lost < lostAtMost {
		return all
	}
	if time.Since(h.probed) < probeEvery {
		return 0
	}
	h.probed = time.Now()
	return 1
}

// answered notes any answer, a refusal as well.
func (h *health) answered() {
	h.mu.Lock()
	h.lost, h.known = 0, true
	h.mu.Unlock()
}

// gaveUp notes a request that had no answer in all of its tries.
func (h *health) gaveUp() {
	h.mu.Lock()
	h.lost++
	h.mu.Unlock()
}
