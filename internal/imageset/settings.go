package imageset

import (
	"fmt"
	"path/filepath"

	"imagemirror/internal/finding"
	"imagemirror/internal/mapping"
	"imagemirror/internal/settings"
)

// settings reads the settings of the set in dir. If there is no file, the set has none.
func (l *loader) settings(set *Set, dir string) {
	l.misnamed(dir, settings.File)
	path := filepath.Join(dir, settings.File)
	data, ok := l.optional(path, settings.MaxFile)
	if !ok {
		return
	}
	s, found := settings.Parse(path, data)
	if s.Name != "" && s.Name != set.Name {
		found.Refuse(finding.Input, path, s.NameLine, "metadata.name is %q, and the set is %q: write the name of the directory", s.Name, set.Name)
	}
	for _, b := range set.bounds {
		b.Check(path, s, found)
	}
	found.Sort()
	l.input.Found.Merge(found)
	// Half of the allowed destinations would refuse the others.
	if found.Err() == nil {
		set.Settings = s
		l.demand(set, s.Verify, path, dir)
	}
}

// outside refuses the mappings that the settings of the set, or the operator's policy, do not
// allow. It says one thing about a line's source, however many destinations it has.
func (s *Set) outside(ms []mapping.Mapping, found *finding.List) {
	said := 0 // the last line whose source was refused
	for i := range ms {
		m := &ms[i]
		err, source := s.refusal(m)
		if err == nil || source && said == m.Line {
			continue
		}
		if source {
			said = m.Line
		}
		found.Refuse(finding.Input, m.File, m.Line, "%w", err)
	}
}

// refusal returns why a mapping is not allowed, and whether that is about its source. What the
// set itself says comes first: its owners can change it.
func (s *Set) refusal(m *mapping.Mapping) (err error, source bool) {
	const outside = "%s %s is outside of what %s of the set allows (%s): correct it, or add a prefix to spec.%ss"
	own := &s.Settings
	if !own.Destinations.Allow(m.Destination.Name()) {
		return fmt.Errorf(outside, "destination", m.Destination, settings.File, own.Destinations, "destination"), false
	}
	for _, b := range s.bounds {
		if err := b.Destination(m); err != nil {
			return err, false
		}
	}
	if !own.Sources.Allow(m.Source.Name()) {
		return fmt.Errorf(outside, "source", m.Source, settings.File, own.Sources, "source"), true
	}
	for _, b := range s.bounds {
		if err := b.Source(m); err != nil {
			return err, true
		}
	}
	return nil, false
}
