package registry

import (
	"sync"
	"time"
)

// health notices when a registry stops answering, so that thousands of images do not
// each wait for it.
type health struct {
	mu     sync.Mutex
	known  bool      // it has answered at least once
	lost   int       // requests given up without an answer since the last answer
	probed time.Time // when a request was last let through to a registry that is down
}

const (
	lostAtMost = 8               // requests given up before a registry counts as down
	firstTries = 4               // tries if a registry has never answered: its name may be wrong
	probeEvery = 5 * time.Second // between requests to a registry that is down
)

// tries returns how many tries a request gets: all, or fewer if the registry has never
// answered. If it is down, one request every probeEvery gets one try, and the others none.
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

// answered notes any answer, even a refusal.
func (h *health) answered() {
	h.mu.Lock()
	h.lost, h.known = 0, true
	h.mu.Unlock()
}

// gaveUp notes a request without an answer to any of its tries.
func (h *health) gaveUp() {
	h.mu.Lock()
	h.lost++
	h.mu.Unlock()
}
