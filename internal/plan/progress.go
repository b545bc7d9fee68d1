package plan

import "sync/atomic"

// A Progress counts the mappings that Make has resolved. It is safe for concurrent use.
type Progress struct {
	mappings, resolved atomic.Int64
}

// Count returns how many mappings are resolved, and how many there are. There are 0 until
// wildcards are expanded.
func (p *Progress) Count() (resolved, mappings int64) { return p.resolved.Load(), p.mappings.Load() }
