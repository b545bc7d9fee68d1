package imports

import (
	"fmt"
	"strings"

	"imagemirror/internal/finding"
	"imagemirror/internal/foreign"
	"imagemirror/internal/reference"
)

// maxSets bounds the sets that files are turned into.
const maxSets = 50

// An entryGroup is an image set in the making: entries whose options are the same.
type entryGroup struct {
	entries []*importedEntry
	options foreign.Options
	selects map[reference.Reference]*foreign.TagFilter // by wildcard source
}

// An importedEntry is one mapping, and where it is from.
type importedEntry struct {
	foreign.Entry
	destination reference.Reference
}

// groupEntries returns the image sets that entries become, in their order. What is said twice
// becomes one mapping. What settings refuse is left out, with a warning.
func groupEntries(entries []foreign.Entry, found *finding.List) []*entryGroup {
	g := grouper{found: found, by: map[foreign.Options][]*entryGroup{}}
	for _, e := range g.merge(dropRefused(entries, found)) {
		if s := g.place(e); s != nil {
			s.entries = append(s.entries, e)
		}
	}
	return g.sets
}

type grouper struct {
	found *finding.List
	sets  []*entryGroup
	by    map[foreign.Options][]*entryGroup
}

// merge returns a mapping for each pair of a source and a destination. If a pair appears twice,
// both selections count. It refuses a destination with two sources.
func (g *grouper) merge(entries []foreign.Entry) (all []*importedEntry) {
	by := map[reference.Reference]*importedEntry{}
	for _, e := range entries {
		for _, destination := range e.Destinations {
			one := &importedEntry{e, completed(e.Source, destination)}
			key := one.destination
			if key.Tag == "" {
				key.Digest = e.Source.Digest // an image without a tag is beside others in its repository
			}
			before := by[key]
			switch {
			case before == nil:
				by[key] = one
				all = append(all, one)
			case before.Source != e.Source && !before.Source.Wildcard() && !e.Source.Wildcard():
				g.found.Refuse(finding.Input, e.File, e.Line, "destination %s has the source %s here and the source %s at %s:%d: keep one of the two",
					one.destination, e.Source, before.Source, before.File, before.Line)
			case before.Source != e.Source:
				all = append(all, one) // two wildcards, which a run compares tag by tag
			default:
				g.join(before, one)
			}
		}
	}
	return all
}

// join adds what another entry for the same pair selects.
func (g *grouper) join(before, one *importedEntry) {
	joined, ok := foreign.Join(before.Select, one.Select)
	if !ok || before.Options != one.Options {
		g.found.Warn(foreign.Unsaid, one.File, one.Line, "entry: left out, since %s:%d mirrors %s to the same place in another way: write one entry for both",
			before.File, before.Line, one.Source)
		return
	}
	before.Select = joined
}

// completed gives a destination the tag of its source, as a mapping file does.
func completed(source, destination reference.Reference) reference.Reference {
	if destination.Tag == "" && !source.Wildcard() {
		destination.Tag = source.Tag
	}
	return destination
}

// place returns the set for an entry: the first with the same options that does not select
// otherwise from the entry's source. It returns nil if there are too many sets.
func (g *grouper) place(e *importedEntry) *entryGroup {
	for _, s := range g.by[e.Options] {
		if s.accepts(e) {
			return s
		}
	}
	if len(g.sets) == maxSets {
		g.found.Refuse(finding.Input, e.File, e.Line, "the entries need more than %d image sets, because they differ in settings of whole sets: import the file in parts", maxSets)
		return nil
	}
	s := &entryGroup{options: e.Options, selects: map[reference.Reference]*foreign.TagFilter{}}
	g.sets, g.by[e.Options] = append(g.sets, s), append(g.by[e.Options], s)
	s.accepts(e)
	return s
}

// accepts reports whether an entry may be in the set, and notes its selection.
func (s *entryGroup) accepts(e *importedEntry) bool {
	if !e.Source.Wildcard() {
		return true
	}
	selection, there := s.selects[e.Source]
	if !there {
		s.selects[e.Source] = e.Select
		return true
	}
	return selection.Equal(e.Select)
}

// mapping returns the mapping file of the set.
func (s *entryGroup) mapping() string {
	var b strings.Builder
	for _, e := range s.entries {
		fmt.Fprintf(&b, "%s %s\n", e.Source, e.destination)
	}
	return b.String()
}
