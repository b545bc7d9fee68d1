package registry

import (
	"net/http"
	"sync"
)

// mounts are those that a registry refuses with an error, so that they are not asked for again and again.
type mounts struct {
	mu     sync.Mutex
	all    bool            // from any other repository
	itself bool            // from the very repository that the blob is for
	from   map[string]bool // from these repositories, which may not be read
}

func (m *mounts) refused(from, to string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if from == to {
		return m.itself
	}
	return m.all || m.from[from]
}

// refuse notes a mount that was refused with a status, though an upload was allowed.
func (m *mounts) refuse(from, to string, status int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case from == to:
		m.itself = true
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		if m.from == nil {
			m.from = map[string]bool{}
		}
		m.from[from] = true
	default:
		m.all = true
	}
}
