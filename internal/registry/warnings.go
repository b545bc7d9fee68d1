package registry

import (
	"log/slog"
	"net/http"
	"regexp"
	"sync"

	"imagemirror/internal/secret"
	"imagemirror/internal/text"
)

// warnings are what a registry wants people to know: a token that is about to expire, or
// a service that is about to end (distribution spec, "Warning"). Each is logged once.
type warnings struct {
	mu   sync.Mutex
	seen map[string]bool
}

const (
	warningsAtMost = 8   // of one registry
	maxWarning     = 240 // characters
)

// warning matches the only form of the header that the distribution spec has.
var warning = regexp.MustCompile(`^299 - "((?:[^"\\]|\\.)*)"`)

// fresh returns the warnings of an answer that were not returned before.
func (w *warnings) fresh(h http.Header) []string {
	values := h.Values("Warning")
	if len(values) == 0 {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var fresh []string
	for _, value := range values {
		m := warning.FindStringSubmatch(value)
		if m == nil {
			continue
		}
		said := text.Line(secret.Hide(m[1]), maxWarning)
		if said == "" || w.seen[said] || len(w.seen) >= warningsAtMost {
			continue
		}
		if w.seen == nil {
			w.seen = map[string]bool{}
		}
		w.seen[said] = true
		fresh = append(fresh, said)
	}
	return fresh
}

// warn logs what the registry warns of.
func (h *host) warn(header http.Header) {
	for _, said := range h.warnings.fresh(header) {
		slog.Warn("the registry has a warning", "registry", h.endpoint.Registry, "warning", said)
	}
}
