package registry

import (
	"net/http"
	"sync"

	"imagemirror/internal/regerror"
)

// mounts remembers which mounts a registry refuses with an error, so that each is tried
// once.
type mounts struct {
	itself optional // from the repository that the blob is for
	others optional // from another one

	mu   sync.Mutex
	from map[string]bool // that nothing is mounted from: they do not exist, or may not be read
}

// refused reports whether a mount from one repository into another was refused before.
func (m *mounts) refused(from, to string) bool {
	if m.kind(from, to).useless() {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.from[from] && from != to
}

// kind returns what is known of mounts from the repository itself, or from others.
func (m *mounts) kind(from, to string) *optional {
	if from == to {
		return &m.itself
	}
	return &m.others
}

// refuse notes a mount that was refused with an error although an upload was allowed.
func (m *mounts) refuse(from, to string, err error) {
	switch regerror.StatusOf(err) {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		// What Harbor answers for a repository that does not exist or may not be read.
		if from != to {
			m.avoid(from)
			return
		}
	}
	if !m.kind(from, to).refuse(err) && regerror.IsRefusal(err) {
		m.avoid(from)
	}
}

// DoubtMount notes that the registry answered a mount from a path with success, or with
// an upload, and does not have the blob or the upload.
func (r *Repository) DoubtMount(from string) {
	ep := r.endpoints[0]
	ep.host.mounts.kind(from, ep.access.Repository).doubt()
}

// avoid notes a repository that nothing is mounted from.
func (m *mounts) avoid(from string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.from == nil {
		m.from = map[string]bool{}
	}
	m.from[from] = true
}
