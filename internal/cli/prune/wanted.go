package prune

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"imagemirror/internal/imageset"
	"imagemirror/internal/mapping"
	"imagemirror/internal/plan"
	"imagemirror/internal/reference"
	"imagemirror/internal/registry"
	"imagemirror/internal/text"
)

// What mappings want: those of a set, and of the sets beside it.
type wanted struct {
	set      *imageset.Set
	names    map[string]bool
	patterns map[string][]*mapping.Mapping // wildcards of other sets, by the destination's repository
}

// wanted reads the mappings of a set and of those beside it, and asks for the tags that wildcards
// of the set match. It fails if it does not know all of them: what is not known to be wanted would
// be deleted.
func (c *config) wanted(ctx context.Context, client *registry.Client, arg string) (*wanted, error) {
	if info, err := os.Stat(arg); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%s is a file: name the directory of the set, whose files are all needed", text.Line(arg, 80))
	}
	set, err := c.Files(ctx, arg)
	if err != nil {
		return nil, err
	}
	if len(set.Mappings) == 0 {
		return nil, fmt.Errorf("the image set %s has no mappings, so that all that it has published would be listed: delete it by hand", set.Name)
	}
	w := &wanted{set: set, names: map[string]bool{}, patterns: map[string][]*mapping.Mapping{}}
	names, err := plan.Wanted(ctx, plan.Options{Client: client}, []*imageset.Set{set})
	if err != nil {
		return nil, fmt.Errorf("what the set wants is not known: %w", err)
	}
	for _, name := range names {
		w.names[name] = true
	}
	return w, w.beside(set)
}

// beside adds the mappings of the image sets beside one that was read from a directory.
func (w *wanted) beside(set *imageset.Set) error {
	own, err := filepath.Abs(filepath.Dir(set.Files[0]))
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range imageset.Directories(filepath.Dir(own)) {
		if dir == own || len(imageset.MappingFiles(dir)) == 0 || imageset.NameOf(dir) == imageset.Base {
			continue
		}
		input, err := imageset.Load([]string{dir}, nil)
		if err != nil {
			errs = append(errs, fmt.Errorf("what the set beside it wants is not known: %w", err))
			continue
		}
		for _, other := range input.Sets {
			w.add(other)
		}
	}
	return errors.Join(errs...)
}

// add adds what another set wants. Its wildcards want each tag that matches.
func (w *wanted) add(other *imageset.Set) {
	for i := range other.Mappings {
		m := &other.Mappings[i]
		if m.Source.Wildcard() {
			w.patterns[m.Destination.Name()] = append(w.patterns[m.Destination.Name()], m)
			continue
		}
		w.names[m.Destination.String()] = true
	}
}

// has reports whether a mapping names a destination.
func (w *wanted) has(name string) bool {
	if w.names[name] {
		return true
	}
	at, err := reference.Parse(name)
	if err != nil {
		return true
	}
	for _, m := range w.patterns[at.Name()] {
		if m.Source.Match(at.Tag) {
			return true
		}
	}
	return false
}
