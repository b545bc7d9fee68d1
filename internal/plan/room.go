package plan

import (
	"fmt"
	"sync"

	"imagemirror/internal/fault"
	"imagemirror/internal/mapping"
	"imagemirror/internal/reference"
)

// Bounds on the mappings that the wildcards of a run make, in bytes. A mapping counts as its names
// and mappingSize: report holds a mapping that failed, with its error, in about so much.
const (
	maxMatches    = 64 << 20
	smallWildcard = 1 << 20 // what any wildcard may take while there is room
	mappingSize   = 1 << 10
)

// A room divides maxMatches among the wildcards of a run, so that one of very many tags leaves
// room for all others: a wildcard gets at most half of what is left.
type room struct {
	mu    sync.Mutex
	taken int64
}

// take takes room for what a wildcard makes of tags. It fails if that is too much.
func (r *room) take(m *mapping.Mapping, tags []string) error {
	each := int64(mappingSize + len(m.Source.Name()) + len(m.Destination.Name()) + 2)
	size := each * int64(len(tags))
	for _, t := range tags {
		size += 2 * int64(len(t))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	left := maxMatches - r.taken
	most := min(max(left/2, smallWildcard), left)
	if size > most {
		return fault.New(fault.Fault{
			Kind: fault.TooLarge, Side: reference.Source, Host: m.Source.Registry,
			Advice: "narrow the pattern, or mirror the repository in a run of its own",
		}, fmt.Sprintf("%s matches %d tags, and the run has room for %d mappings of it", m.Source, len(tags), most*int64(len(tags))/size))
	}
	r.taken += size
	return nil
}
