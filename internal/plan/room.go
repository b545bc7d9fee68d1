package plan

import (
	"fmt"
	"sync"

	"imagemirror/internal/fault"
	"imagemirror/internal/imageset"
	"imagemirror/internal/mapping"
	"imagemirror/internal/reference"
)

// Bounds on the mappings of a run, in bytes. A mapping counts as its names and mappingSize: report
// holds a mapping that failed, with its error, in about so much.
const (
	maxMappings   = 64 << 20
	maxLines      = 48 << 20 // of those that lines name, in a container
	smallWildcard = 1 << 20  // what any wildcard may take while there is room
	mappingSize   = 1 << 10
	container     = 256 << 20 // the memory of a Task's container
)

// lineSize returns what a mapping that a line names counts as.
func lineSize(m *mapping.Mapping) int64 {
	return int64(mappingSize + len(m.Source.String()) + len(m.Destination.String()))
}

// linesSize returns what the mappings that lines name count as, and their number.
func linesSize(sets []*imageset.Set) (size int64, number int) {
	for _, s := range sets {
		for i := range s.Mappings {
			if m := &s.Mappings[i]; !m.Source.Wildcard() {
				size += lineSize(m)
				number++
			}
		}
	}
	return size, number
}

// Fit fails if lines name more mappings than split, copy and report hold in a container with a
// limit on its memory, in bytes. 0 is no limit.
func Fit(sets []*imageset.Set, memory int64) error {
	size, number := linesSize(sets)
	most := memory / (container >> 20) * (maxLines >> 20)
	if memory == 0 || size <= most {
		return nil
	}
	return fmt.Errorf("the files have %d mappings, and the container's memory of %d MiB is enough for %d: give it more, or divide the sets over several runs",
		number, memory>>20, int64(number)*most/size)
}

// A room divides maxMappings among the wildcards of a run, so that one of very many tags leaves
// room for all others: a wildcard gets at most half of what is left.
type room struct {
	mu    sync.Mutex
	taken int64
}

// newRoom returns the room that is left beside the mappings that lines name.
func newRoom(sets []*imageset.Set) *room {
	lines, _ := linesSize(sets)
	return &room{taken: min(lines, maxLines)}
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
	left := maxMappings - r.taken
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
