package imageset

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"imagemirror/internal/finding"
	"imagemirror/internal/mapping"
	"imagemirror/internal/settings"
)

// settings reads the settings of the set in dir. If there is no file, the set has none.
func (l *loader) settings(set *Set, dir string) {
	path := filepath.Join(dir, settings.File)
	data, err := ReadFile(path, settings.MaxFile)
	// A link to nothing is a mistake: taken for no file, it would let immutable tags move.
	if _, missing := os.Lstat(path); errors.Is(err, fs.ErrNotExist) && missing != nil {
		return
	}
	if err != nil {
		l.refuse(path, 1, err)
		return
	}
	s, found := settings.Parse(path, data)
	if s.Name != "" && s.Name != set.Name {
		found.Refuse(finding.Input, path, s.NameLine, "metadata.name is %q, and the set is %q: write the name of the directory", s.Name, set.Name)
		found.Sort()
	}
	l.input.Found.Merge(found)
	// Half of the allowed destinations would refuse the others.
	if found.Err() == nil {
		set.Settings = s
	}
}

// shownPrefixes bounds the prefixes that a message lists.
const shownPrefixes = 5

// outside refuses the mappings to destinations that the set may not publish to.
func (s *Set) outside(ms []mapping.Mapping, found *finding.List) {
	allowed := s.Settings.Destinations
	prefixes := strings.Join(allowed[:min(len(allowed), shownPrefixes)], ", ")
	if n := len(allowed) - shownPrefixes; n > 0 {
		prefixes += fmt.Sprintf(" and %d more", n)
	}
	for _, m := range ms {
		if !s.Settings.Allows(m.Destination) {
			found.Refuse(finding.Input, m.File, m.Line, "destination %s is outside of what %s of the set allows (%s): correct it, or add a prefix to spec.destinations",
				m.Destination, settings.File, prefixes)
		}
	}
}
