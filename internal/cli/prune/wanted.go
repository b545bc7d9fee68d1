package prune

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"imagemirror/internal/imageset"
	"imagemirror/internal/mapping"
	"imagemirror/internal/plan"
	"imagemirror/internal/reference"
	"imagemirror/internal/registry"
	"imagemirror/internal/text"
)

// wanted has what mappings want: those of a set, and of the sets beside it. Names are where
// registries.conf leads to: one tag may have several names.
type wanted struct {
	set      *imageset.Set
	locate   func(image reference.Reference) (repository string, err error)
	located  map[string]string // repositories by name
	names    map[string]bool
	patterns map[string][]*mapping.Mapping // wildcards, by a repository that they write or read
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
	w := &wanted{set: set, located: map[string]string{}, names: map[string]bool{}, patterns: map[string][]*mapping.Mapping{}}
	w.locate = func(image reference.Reference) (string, error) {
		to, err := client.Destination(ctx, image, false)
		if err != nil {
			return "", err
		}
		return to.Registry() + "/" + to.Path(), nil
	}
	names, err := plan.Wanted(ctx, plan.Options{Client: client}, []*imageset.Set{set})
	if err != nil {
		return nil, fmt.Errorf("finding out what the set wants: %w", err)
	}
	for _, name := range names {
		image, err := reference.Parse(name)
		if err != nil {
			return nil, err
		}
		w.names[w.place(image)] = true
	}
	w.addSources(set)
	return w, w.beside(set)
}

// readWhole reads a set in a directory. It refuses files whose names are misspelled. They are not
// read, so nobody would seem to want what they name.
func readWhole(dir string) (*imageset.Input, error) {
	input, _ := imageset.Load([]string{dir}, nil) // the error is what it found
	input.Found.Promote(imageset.FileName)
	return input, input.Found.Err()
}

// beside adds the mappings of the image sets beside one that was read from a directory.
func (w *wanted) beside(set *imageset.Set) error {
	own, err := filepath.Abs(filepath.Dir(set.Files[0]))
	if err != nil {
		return err
	}
	var errs []error
	if _, err := os.Stat(own); err == nil { // what is installed on a cluster was read from a directory that is gone
		_, err := readWhole(own)
		errs = append(errs, err)
	}
	for _, dir := range imageset.Directories(filepath.Dir(own)) {
		if dir == own || len(imageset.MappingFiles(dir)) == 0 || imageset.NameOf(dir) == imageset.Base {
			continue
		}
		input, err := readWhole(dir)
		if err != nil {
			errs = append(errs, fmt.Errorf("finding out what the set beside it wants: %w", err))
			continue
		}
		for _, other := range input.Sets {
			w.add(other)
		}
	}
	return errors.Join(errs...)
}

// addSources adds what the mappings of a set read: a mapping's destination may be the source of
// another one, which fails without it.
func (w *wanted) addSources(set *imageset.Set) {
	for i := range set.Mappings {
		m := &set.Mappings[i]
		if m.Source.Wildcard() {
			at := w.repository(m.Source)
			w.patterns[at] = append(w.patterns[at], m)
			continue
		}
		w.names[w.place(m.Source)] = true
	}
}

// add adds what another set wants. Its wildcards want each tag that matches.
func (w *wanted) add(other *imageset.Set) {
	w.addSources(other)
	for i := range other.Mappings {
		m := &other.Mappings[i]
		if m.Source.Wildcard() {
			at := w.repository(m.Destination)
			w.patterns[at] = append(w.patterns[at], m)
			continue
		}
		to := m.Destination
		if to.Tag == "" {
			to = to.WithDigest(m.Source.Digest)
		}
		w.names[w.place(to)] = true
	}
}

// repository returns the location of an image's repository by registries.conf. From one that
// cannot be located, nothing can be deleted.
func (w *wanted) repository(image reference.Reference) string {
	name := image.Name()
	at, known := w.located[name]
	if !known {
		var err error
		if at, err = w.locate(image); err != nil {
			at = name
		}
		w.located[name] = at
	}
	return at
}

// place returns the location of a tag by registries.conf.
func (w *wanted) place(image reference.Reference) string {
	return w.repository(image) + ":" + image.Tag + "@" + image.Digest
}

// has reports whether a mapping names a destination.
func (w *wanted) has(name string) bool {
	image, err := reference.Parse(name)
	if err != nil {
		return true
	}
	return w.names[w.place(image)] || image.Tag != "" && slices.ContainsFunc(w.patterns[w.repository(image)], func(m *mapping.Mapping) bool { return m.Source.Match(image.Tag) })
}
