package plan

import "sync/atomic"

// A Progress counts what Make has done so far. Another goroutine may read it at any time.
type Progress struct {
	mappings, resolved atomic.Int64
}

// Count returns how many mappings are resolved, and how many there are: 0 until wildcards are expanded.
func (p *Progress) Count() (resolved, mappings int64) { return p.resolved.Load(), p.mappings.Load() }
