package plan

import "sync/atomic"

// A Progress counts the mappings that Make has resolved. It is safe for concurrent use.
type Progress struct {
	mappings, resolved, failed atomic.Int64
}

// Count returns how many mappings are resolved, how many of these have failed, and how many there
// are. There are 0 until wildcards are expanded.
func (p *Progress) Count() (resolved, failed, mappings int64) {
	return p.resolved.Load(), p.failed.Load(), p.mappings.Load()
}

// note counts targets that are resolved.
func (p *Progress) note(targets ...*target) {
	for _, t := range targets {
		p.resolved.Add(1)
		if t.err != nil {
			p.failed.Add(1)
		}
	}
}
