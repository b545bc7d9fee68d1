package imageset

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"imagemirror/internal/mapping"
	"imagemirror/internal/settings"
)

// loadSettings reads the settings of the set in dir. Where there is no file, none are set.
func loadSettings(dir, set string) (settings.Settings, error) {
	path := filepath.Join(dir, settings.File)
	data, err := readSmall(path, settings.MaxFile)
	// A link to nothing is a mistake: taken for no file, it would let immutable tags move.
	if _, missing := os.Lstat(path); errors.Is(err, fs.ErrNotExist) && missing != nil {
		return settings.Settings{}, nil
	}
	if err != nil {
		return settings.Settings{}, err
	}
	s, err := settings.Parse(path, data)
	if s.Name != "" && s.Name != set {
		err = errors.Join(&mapping.Problem{File: path, Line: s.NameLine, Err: fmt.Errorf("metadata.name is %q, and the set is %q: write the name of the directory", s.Name, set)}, err)
	}
	if err != nil {
		// Half of the allowed destinations would refuse the others.
		return settings.Settings{}, err
	}
	return s, nil
}

// shownPrefixes is how many of the prefixes that a set may publish to are named in a message.
const shownPrefixes = 5

// outside refuses the mappings to destinations that the set may not publish to.
func (s *Set) outside(ms []mapping.Mapping, problems *mapping.Problems) {
	allowed := s.Settings.Destinations
	prefixes := strings.Join(allowed[:min(len(allowed), shownPrefixes)], ", ")
	if n := len(allowed) - shownPrefixes; n > 0 {
		prefixes += fmt.Sprintf(" and %d more", n)
	}
	for _, m := range ms {
		if !s.Settings.Allows(m.Destination) {
			problems.Add(m.File, m.Line, fmt.Errorf("destination %s is outside of what %s of the set allows (%s): correct it, or add a prefix to spec.destinations",
				m.Destination, settings.File, prefixes))
		}
	}
}
