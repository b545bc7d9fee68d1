// Package imageset turns what a person names on the command line (mapping files, image-set directories, standard
// input) into image sets: the mappings of one team, with the people to tell when one of them fails.
//
// It is where a run is checked as a whole: a destination has one source in all of its files, and a path that would mirror
// nothing is refused, since a run that does nothing looks like one in which all is well.
package imageset

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"imagemirror/internal/mapping"
	"imagemirror/internal/settings"
	"imagemirror/internal/text"
)

// Base is the name of the directory beside the sets that they include in kustomize. It is passed over, and no set's name.
const Base = "base"

// Prefix is what the names of mapping files begin with.
const Prefix = "mapping_"

// Stdin is the PATH that stands for standard input.
const Stdin = "-"

// A Set is a team's mappings: those of a directory, of single files in it, or of standard input.
type Set struct {
	Name     string   // the directory's base name, or "stdin"
	Owners   []string // the approvers of its OWNERS file; none where there is no such file
	Files    []string // the mapping files that were read, as the person named them
	Mappings []mapping.Mapping
	Settings settings.Settings // of its settings.yaml; the zero value where there is no such file
	unowned  string            // the warning that nobody owns it
}

// Input is all that a run is about.
type Input struct {
	Sets     []*Set
	Warnings []string // each a line, as "file:line: message"
	Unowned  []string // of the warnings, those that a directory among the paths has no OWNERS or none that names an approver
}

// Mappings is how many mappings all sets have together.
func (i *Input) Mappings() int {
	n := 0
	for _, s := range i.Sets {
		n += len(s.Mappings)
	}
	return n
}

// Load reads the sets that paths name. Each path is a mapping file, a directory with files named mapping_*, or "-"
// for stdin. The error holds everything that is wrong with them, one line each; the Input is then there for its warnings.
func Load(paths []string, stdin io.Reader) (*Input, error) {
	l := loader{stdin: stdin, read: map[string]bool{}, dirs: map[string]string{}, sets: map[string]*Set{}, claims: claims{}}
	if len(paths) == 0 {
		return &l.input, errors.New("no PATH is given: name a mapping file, an image-set directory or - for standard input")
	}
	for _, path := range paths {
		if err := l.path(path); err != nil {
			l.errs = append(l.errs, err)
		}
	}
	if len(l.errs) == 0 && len(l.input.Sets) == 0 {
		l.errs = append(l.errs, fmt.Errorf("%s: this is what image sets include: name an image set's directory", paths[0]))
	}
	l.input.Warnings = append(l.input.Warnings, l.input.repeated()...)
	return &l.input, errors.Join(l.errs...)
}

type loader struct {
	stdin  io.Reader
	input  Input
	errs   []error
	read   map[string]bool   // absolute paths of the files and directories that were read
	dirs   map[string]string // a set's directory, as it was named first
	sets   map[string]*Set   // by the absolute path of the directory
	claims claims
}

func (l *loader) warn(file, message string) {
	l.input.Warnings = append(l.input.Warnings, fmt.Sprintf("%s:1: %s", file, message))
}

func (l *loader) path(path string) error {
	switch {
	case path == Stdin:
		return l.standardInput()
	case path == "":
		return errors.New("a PATH is empty: name a mapping file, an image-set directory or - for standard input")
	}
	path = filepath.Clean(path)
	if err := checkName(path); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, reason(err))
	}
	if info.IsDir() {
		return l.directory(path)
	}
	set, err := l.set(filepath.Dir(path))
	if err != nil {
		return err
	}
	return l.file(set, path)
}

func (l *loader) standardInput() error {
	const name = "stdin"
	if l.first(Stdin, name) {
		set, err := l.newSet(name, Stdin, Stdin)
		if err != nil {
			return err
		}
		return l.parse(set, l.stdin, name)
	}
	return nil
}

// first says whether a file or directory has not been read yet, and warns where it has.
func (l *loader) first(absolute, label string) bool {
	if l.read[absolute] {
		l.warn(label, "this is named twice: it is read once")
		return false
	}
	l.read[absolute] = true
	return true
}

func (l *loader) directory(dir string) error {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if !l.first(absolute, dir) {
		return nil
	}
	files, err := l.mappingFiles(dir)
	if err != nil {
		return err
	}
	if len(files) == 0 && isBase(dir) {
		return nil
	}
	if len(files) == 0 {
		return fmt.Errorf("%s: the directory has no mapping file: name files mapping_NAME, or name the image set's directory", dir)
	}
	set, err := l.set(dir)
	if err != nil {
		return err
	}
	if set.unowned != "" {
		l.input.Unowned = append(l.input.Unowned, set.unowned)
	}
	var errs []error
	for _, f := range files {
		if err := regular(f); err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, l.file(set, f))
	}
	return errors.Join(errs...)
}

// isBase says whether a directory is what image sets include: image-sets/*/ names it, too.
func isBase(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "kustomization.yaml"))
	return filepath.Base(dir) == Base && err == nil
}

// mappingFiles are the paths of a directory's mapping files. Those of a mounted ConfigMap are links, by way of a directory
// whose name begins with two dots.
func (l *loader) mappingFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, reason(err))
	}
	var files []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), Prefix):
			if err := checkName(path); err != nil {
				return nil, err
			}
			files = append(files, path)
		case !strings.HasPrefix(e.Name(), ".") && strings.Contains(strings.ToLower(e.Name()), "mapping") && checkName(path) == nil:
			l.warn(path, "the file is not read: a mapping file's name begins with mapping_")
		}
	}
	return files, nil
}

func (l *loader) file(set *Set, path string) error {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if !l.first(absolute, path) {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%s:1: %w", path, reason(err))
	}
	defer f.Close()
	return l.parse(set, f, path)
}

// regular refuses what a directory's entry may be and a file is not; opening a named pipe would wait for a writer.
func regular(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = errors.New("this is no regular file: remove it, or give it another name")
	case !Within(filepath.Dir(path), path):
		err = errors.New("this leads out of the set's directory: put the file itself here")
	}
	if err != nil {
		return fmt.Errorf("%s:1: %w", path, reason(err))
	}
	return nil
}

// Within says whether a file of a directory is in it, wherever links lead. What a link from a stranger's pull request leads to is
// not shown in messages. Kubernetes' own links, in volumes, stay within.
func Within(dir, path string) bool {
	dir, errDir := resolved(dir)
	path, errPath := resolved(path)
	return errDir == nil && errPath == nil && strings.HasPrefix(path, strings.TrimSuffix(dir, string(filepath.Separator))+string(filepath.Separator))
}

// resolved is where a path leads to, from the root on.
func resolved(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}

// parse reads one mapping file into set.
func (l *loader) parse(set *Set, r io.Reader, label string) error {
	set.Files = append(set.Files, label)
	f, err := mapping.Parse(r, label)
	problems := &mapping.Problems{}
	if err != nil && !errors.As(err, &problems) {
		return err
	}
	if err == nil && len(f.Mappings) == 0 {
		l.warn(label, "the file has no mapping: nothing is mirrored for it")
	}
	set.outside(f.Mappings, problems)
	set.Mappings = append(set.Mappings, l.claims.add(f.Mappings, problems, &f.Warnings)...)
	f.Warnings.Sort()
	l.input.Warnings = append(l.input.Warnings, f.Warnings.Lines()...)
	problems.Sort()
	if len(l.claims) > mapping.MaxMappings {
		return fmt.Errorf("%s:1: with this file the run has more than %d mappings: run the image sets apart", label, mapping.MaxMappings)
	}
	return problems.Err()
}

// set is the set of a directory; OWNERS and settings.yaml are read when it is asked for first.
func (l *loader) set(dir string) (*Set, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if set := l.sets[absolute]; set != nil {
		return set, nil
	}
	set, err := l.newSet(filepath.Base(absolute), absolute, dir)
	if err != nil {
		return nil, err
	}
	// Where one of these is refused the set is there all the same, so that its mapping files are checked too.
	if err := l.owners(set, dir); err != nil {
		l.errs = append(l.errs, err)
	}
	if set.Settings, err = loadSettings(dir, set.Name); err != nil {
		l.errs = append(l.errs, err)
	}
	return set, nil
}

func (l *loader) owners(set *Set, dir string) (err error) {
	file := filepath.Join(dir, "OWNERS")
	set.Owners, err = loadOwners(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.warn(file, fmt.Sprintf("the image set %q has no OWNERS file: nobody is named when an image of it fails", set.Name))
	case err != nil:
		return err
	case len(set.Owners) == 0:
		l.warn(file, "no approver is named: nobody is named when an image of the set fails")
	default:
		return nil
	}
	set.unowned = l.input.Warnings[len(l.input.Warnings)-1]
	return nil
}

func (l *loader) newSet(name, absolute, dir string) (*Set, error) {
	if first, taken := l.dirs[name]; taken {
		return nil, fmt.Errorf("%s: the image set %q is %s already: rename one of the directories, or run them apart", dir, name, first)
	}
	set := &Set{Name: name}
	l.dirs[name] = dir
	l.sets[absolute] = set
	l.input.Sets = append(l.input.Sets, set)
	return set, nil
}

// checkName refuses names that would break the lines they are shown in.
func checkName(path string) error {
	if !text.IsPrintable(path) {
		return fmt.Errorf("the name %q has characters that cannot be shown: rename it", path)
	}
	return nil
}

// reason is err without the path that it repeats.
func reason(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return cmp.Or(pathErr.Err, err)
	}
	return err
}
