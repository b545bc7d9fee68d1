package imageset

import (
	"imagemirror/internal/finding"
	"imagemirror/internal/mapping"
)

// maxPatterns bounds the wildcards of one pair of repositories that are compared. Hostile
// files may have one on each line, and a miss loses only a warning.
const maxPatterns = 100

// A repositoryPair has both repositories of a mapping.
type repositoryPair struct{ source, destination string }

func repositoryPairOf(m *mapping.Mapping) repositoryPair {
	return repositoryPair{m.Source.Name(), m.Destination.Name()}
}

// A placed mapping knows its set, and its position among all mappings of a run.
type placed struct {
	*mapping.Mapping
	set *Set
	at  int
}

// matches reports whether a wildcard certainly covers a tag. If its set selects the newest tags,
// only the registry knows.
func (p placed) matches(tag string) bool {
	rule := p.set.Settings.Select.For(p.Source)
	return p.Source.Match(tag) && (rule == nil || rule.Newest == 0 && rule.Admits(tag))
}

// repeated warns of each mapping that a wildcard also covers. The tags that a wildcard
// matches are known only once the registry is asked, but the tag that a line names is known
// now.
func (i *Input) repeated() {
	patterns := map[repositoryPair][]placed{}
	i.each(func(m placed) {
		r := repositoryPairOf(m.Mapping)
		if m.Source.Wildcard() && len(patterns[r]) < maxPatterns {
			patterns[r] = append(patterns[r], m)
		}
	})
	if len(patterns) == 0 {
		return
	}
	i.each(func(m placed) {
		if m.Source.Digest != "" || m.Source.Wildcard() || m.Source.Tag != m.Destination.Tag {
			return
		}
		for _, pattern := range patterns[repositoryPairOf(m.Mapping)] {
			if !pattern.matches(m.Source.Tag) {
				continue
			}
			first, again := pattern, m
			if m.at < pattern.at {
				first, again = m, pattern
			}
			warnOnce(&i.Found, m.Mapping, again.Mapping, first.Mapping)
			return
		}
	})
}

// each calls visit for each mapping of the run, in order.
func (i *Input) each(visit func(placed)) {
	at := 0
	for _, set := range i.Sets {
		for n := range set.Mappings {
			visit(placed{&set.Mappings[n], set, at})
			at++
		}
	}
}

// warnOnce warns, at the place of again, that first already asks for what m does.
func warnOnce(found *finding.List, m, again, first *mapping.Mapping) {
	found.Warn(finding.Odd, again.File, again.Line, "destination %s has the same source at %s:%d already: it is mirrored once",
		m.Destination, first.File, first.Line)
}
