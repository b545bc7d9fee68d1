package status

import (
	"cmp"
	"slices"
	"time"

	"imagemirror/internal/link"
	"imagemirror/internal/record"
)

// A cause is why destinations fail, in all sets that it hits.
type cause struct {
	*record.Cause        // as the set has it that saw it last
	id            string // of its key
	hits          []hit  // by set
	count         int    // destinations that fail for it
	weight        int    // count, plus all destinations of each set whose whole run failed for it
	first, last   time.Time
}

// A hit is what a cause does to one set.
type hit struct {
	set   *set
	cause *record.Cause
}

// mergeCauses returns the causes of all sets, those that hit most destinations first. The cause of
// a failed run hits all destinations of its set.
func mergeCauses(sets []*set) []*cause {
	byKey := map[string]*cause{}
	var all []*cause
	for _, s := range sets {
		for _, c := range s.Causes {
			merged := byKey[c.Key]
			if merged == nil {
				merged = &cause{Cause: c, id: link.ID(c.Key), first: c.First, last: c.Last}
				byKey[c.Key] = merged
				all = append(all, merged)
			}
			merged.add(hit{s, c})
		}
	}
	slices.SortFunc(all, func(a, b *cause) int {
		return cmp.Or(-cmp.Compare(a.weight, b.weight), a.first.Compare(b.first), cmp.Compare(a.Key, b.Key))
	})
	return all
}

func (c *cause) add(h hit) {
	c.hits = append(c.hits, h)
	c.count += h.cause.Count
	if c.weight += h.cause.Count; h.cause.Count == 0 {
		c.weight += max(1, h.set.total())
	}
	if h.cause.First.Before(c.first) {
		c.first = h.cause.First
	}
	if h.cause.Last.After(c.last) {
		c.Cause, c.last = h.cause, h.cause.Last
	}
}

// owners returns the owners of the sets that the cause hits, each once.
func (c *cause) owners() []string {
	var all []string
	for _, h := range c.hits {
		all = append(all, h.set.Owners...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// A failure is a destination that a cause hits.
type failure struct {
	set *set
	*record.Destination
}

// failures returns the destinations that fail for the cause, by set and name.
func (c *cause) failures() []failure {
	var all []failure
	for _, h := range c.hits {
		for _, d := range h.set.Destinations {
			if d.Cause == c.Key && stateOf(d) == Failing {
				all = append(all, failure{h.set, d})
			}
		}
	}
	return all
}
