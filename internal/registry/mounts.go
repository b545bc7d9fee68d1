package registry

import (
	"net/http"
	"sync"
)

// mounts remembers which mounts a registry refuses with an error, so that each is tried
// once.
type mounts struct {
	mu     sync.Mutex
	all    bool            // from any other repository
	itself bool            // from the repository that the blob is for
	from   map[string]bool // from these repositories: the credentials may not read them
}

// refused reports whether a mount from one repository into another was refused before.
func (m *mounts) refused(from, to string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if from == to {
		return m.itself
	}
	return m.all || m.from[from]
}

// refuse notes a mount that was refused with a status although an upload was allowed.
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
