// Package imageset turns the paths on a command line (mapping files, image-set directories,
// standard input) into image sets: the mappings of one team, with the people to tell if one
// of them fails.
//
// It checks a run as a whole. A destination has one source in all files. A path that would
// mirror nothing is refused: a run that does nothing would look like a success.
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

	"imagemirror/internal/finding"
	"imagemirror/internal/mapping"
	"imagemirror/internal/policy"
	"imagemirror/internal/settings"
	"imagemirror/internal/text"
	"imagemirror/internal/verify"
)

// Base names the directory beside the sets that their kustomizations include. It is not a set.
const Base = "base"

// Prefix begins the name of every mapping file.
const Prefix = "mapping_"

// FileName is the rule about the names of mapping files.
var FileName = &finding.Rule{ID: "file-name", Text: "Mapping files are named mapping_NAME..., as the set."}

// Misspelled reports whether a name is almost that of a mapping file.
func Misspelled(name string) bool {
	return !strings.HasPrefix(name, Prefix) && !strings.HasPrefix(name, ".") && strings.Contains(strings.ToLower(name), "mapping")
}

// Stdin is the PATH of standard input.
const Stdin = "-"

// A Set is a team's mappings: those of a directory, of single files in it, or of standard input.
type Set struct {
	Name     string   // the directory's base name, or "stdin"
	Owners   []string // the approvers of its OWNERS file; none if there is no such file
	Files    []string // the mapping files that were read, as the person named them
	Mappings []mapping.Mapping
	Settings settings.Settings // of its settings.yaml; the zero value if there is no such file

	bounds []*policy.Bounds // of the operator's policies: all hold
	rules  []verifyRule     // of the settings and of the policies: all hold
}

// An Input is all that a run reads.
type Input struct {
	Sets  []*Set
	Found finding.List // mistakes and warnings
}

// Mappings returns how many mappings all sets have together.
func (i *Input) Mappings() int {
	n := 0
	for _, s := range i.Sets {
		n += len(s.Mappings)
	}
	return n
}

// Warnings returns the warnings as lines, with file and line number.
func (i *Input) Warnings() []string {
	var lines []string
	for _, w := range i.Found.Warnings() {
		lines = append(lines, w.Error())
	}
	return lines
}

// Load reads the sets that paths name. Each path is a mapping file, a directory with files
// named mapping_*, a directory of such directories, or "-" for stdin. The error is that of
// Input.Found: it has all mistakes, a line each. The Input is never nil, and has everything
// that is right.
func Load(paths []string, stdin io.Reader) (*Input, error) {
	l := loader{
		stdin: stdin, named: map[string]bool{}, read: map[string]bool{},
		dirs: map[string]string{}, sets: map[string]*Set{}, claims: claims{},
		aliases: map[string]aliases{}, policies: map[string]*policy.Policy{}, spelled: map[string]bool{},
		demands: map[string]*verify.Demand{}, roots: map[string]*verify.TrustedRoot{},
	}
	if len(paths) == 0 {
		l.refuse("", 0, errors.New("no PATH is given: name a mapping file, an image-set directory or - for standard input"))
		return &l.input, l.input.Found.Err()
	}
	for _, path := range paths {
		if absolute, err := filepath.Abs(path); err == nil {
			l.named[absolute] = true
		}
	}
	for _, path := range paths {
		l.path(path)
	}
	if l.input.Found.Err() == nil && len(l.input.Sets) == 0 {
		l.refuse(paths[0], 0, errors.New("this is the base of image sets, not a set: name an image set's directory"))
	}
	l.input.repeated()
	l.input.additionalTags()
	return &l.input, l.input.Found.Err()
}

type loader struct {
	stdin  io.Reader
	input  Input
	named  map[string]bool   // absolute paths that were asked for
	read   map[string]bool   // absolute paths of the files and directories that were read
	dirs   map[string]string // a set's directory, as it was named first
	sets   map[string]*Set   // by the absolute path of the directory
	claims claims

	aliases  map[string]aliases             // of OWNERS files, by the repository's directory
	policies map[string]*policy.Policy      // by the absolute path of their directory
	spelled  map[string]bool                // absolute paths of directories whose policy's name was checked
	demands  map[string]*verify.Demand      // by what their rule says, and where
	roots    map[string]*verify.TrustedRoot // by path; nil: something is wrong with it
}

// refuse adds a mistake. Line is 0 if it is about the path file, or about no file.
func (l *loader) refuse(file string, line int, err error) {
	l.input.Found.Add(finding.Finding{Rule: finding.Input, File: file, Line: line, Err: err})
}

func (l *loader) warn(file, message string) {
	l.input.Found.Warn(finding.Odd, file, 1, "%s", message)
}

func (l *loader) path(path string) {
	switch path {
	case Stdin:
		l.standardInput()
		return
	case "":
		l.refuse("", 0, errors.New("a PATH is empty: name a mapping file, an image-set directory or - for standard input"))
		return
	}
	path = filepath.Clean(path)
	if !l.shown(path) {
		return
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		l.refuse(path, 0, withoutPath(err))
	case info.IsDir():
		l.directories(path)
	case !info.Mode().IsRegular():
		// Opening a named pipe would wait for a writer.
		l.refuse(path, 0, errors.New("this is not a regular file: name a mapping file, an image-set directory or - for standard input"))
	default:
		if set := l.set(filepath.Dir(path)); set != nil {
			l.file(set, path)
		}
	}
}

func (l *loader) standardInput() {
	const name = "stdin"
	if !l.first(Stdin, name) {
		return
	}
	if set := l.newSet(name, Stdin, Stdin); set != nil {
		l.parse(set, l.stdin, name)
	}
}

// first reports whether a file or directory has not been read yet, and warns if it has.
func (l *loader) first(absolute, label string) bool {
	if l.read[absolute] {
		l.warn(label, "this is named twice: it is read once")
		return false
	}
	l.read[absolute] = true
	return true
}

// absolute returns the absolute form of a path, and false if that is not known.
func (l *loader) absolute(path string) (string, bool) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		l.refuse(path, 0, err)
	}
	return absolute, err == nil
}

// directories reads the set in a directory, or the sets in a directory of image sets.
func (l *loader) directories(dir string) {
	dirs := []string{dir}
	if len(MappingFiles(dir)) == 0 {
		if sets := setsIn(dir); len(sets) > 0 {
			dirs = sets
		}
	}
	for _, d := range dirs {
		if l.shown(d) {
			l.directory(d)
		}
	}
}

// setsIn returns the directories in a directory that are image sets. One that has only OWNERS or
// settings.yaml is a set whose mapping files are missing: it is returned, to be refused by name. If
// no directory has mapping files, setsIn returns none.
func setsIn(dir string) []string {
	var sets []string
	found := false
	for _, d := range Directories(dir) {
		has := len(MappingFiles(d)) > 0
		found = found || has
		if has || Contains(d, OwnersFile) || Contains(d, settings.File) {
			sets = append(sets, d)
		}
	}
	if !found {
		return nil
	}
	return sets
}

func (l *loader) directory(dir string) {
	absolute, ok := l.absolute(dir)
	if !ok || !l.first(absolute, dir) {
		return
	}
	files, ok := l.mappingFiles(dir)
	if !ok || len(files) == 0 && holdsBase(dir) {
		return
	}
	if len(files) == 0 {
		l.refuse(dir, 0, errors.New("the directory has no mapping file: name files mapping_NAME, or name the image set's directory"))
		return
	}
	set := l.set(dir)
	if set == nil {
		return
	}
	for _, f := range files {
		if err := CheckRegular(f); err != nil {
			l.refuse(f, 1, err)
			continue
		}
		l.file(set, f)
	}
	l.unused(set)
}

// holdsBase reports whether a directory is what image sets include: image-sets/*/ names it, too.
func holdsBase(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "kustomization.yaml"))
	return filepath.Base(dir) == Base && err == nil
}

// mappingFiles returns the paths of a directory's mapping files, and false if it refused the
// directory. The files of a mounted ConfigMap are links, by way of a directory whose name begins
// with two dots.
func (l *loader) mappingFiles(dir string) (files []string, ok bool) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		l.refuse(dir, 0, withoutPath(err))
		return nil, false
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), Prefix):
			if !l.shown(path) {
				return nil, false
			}
			files = append(files, path)
		case Misspelled(e.Name()) && text.IsPrintable(path):
			l.input.Found.Warn(FileName, path, 1, "the file is not read: a mapping file's name begins with %s", Prefix)
		}
	}
	return files, true
}

func (l *loader) file(set *Set, path string) {
	absolute, ok := l.absolute(path)
	if !ok || !l.first(absolute, path) {
		return
	}
	f, err := os.Open(path)
	if err != nil {
		l.refuse(path, 1, withoutPath(err))
		return
	}
	defer f.Close()
	l.parse(set, f, path)
}

// CheckRegular refuses entries of a directory that are not files: opening a named pipe would wait
// for a writer.
func CheckRegular(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return withoutPath(err)
	case !info.Mode().IsRegular():
		return errors.New("this is not a regular file: remove or rename it")
	case !Within(filepath.Dir(path), path):
		return errors.New("this link leads out of the set's directory: put the file itself here")
	}
	return nil
}

// Within reports whether a file of a directory is in it, wherever links lead. A link in a
// stranger's pull request must not show another file in messages. Kubernetes' own links in
// volumes stay within.
func Within(dir, path string) bool {
	dir, errDir := resolved(dir)
	path, errPath := resolved(path)
	return errDir == nil && errPath == nil && strings.HasPrefix(path, strings.TrimSuffix(dir, string(filepath.Separator))+string(filepath.Separator))
}

// resolved returns the absolute path that a path leads to.
func resolved(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}

// parse reads one mapping file into set.
func (l *loader) parse(set *Set, r io.Reader, label string) {
	set.Files = append(set.Files, label)
	ms, found := mapping.Parse(r, label)
	if len(ms) == 0 && found.Err() == nil {
		l.warn(label, "the file has no mapping: nothing is mirrored for it")
	}
	set.outside(ms, found)
	kept := l.claims.add(ms, found)
	if set.Mappings == nil {
		set.Mappings = kept // a copy of 400,000 mappings takes 60 MB
	} else {
		set.Mappings = append(set.Mappings, kept...)
	}
	found.Sort()
	l.input.Found.Merge(found)
	if len(l.claims) > mapping.MaxMappings {
		l.refuse(label, 1, fmt.Errorf("with this file the run has more than %d mappings: run the image sets separately", mapping.MaxMappings))
	}
}

// set returns the set of a directory, or nil if it is refused. OWNERS, settings.yaml and the
// operator's policy are read when the set is first asked for; a mistake in them does not keep its
// mapping files from being checked.
func (l *loader) set(dir string) *Set {
	absolute, ok := l.absolute(dir)
	if !ok {
		return nil
	}
	if set := l.sets[absolute]; set != nil {
		return set
	}
	set := l.newSet(filepath.Base(absolute), absolute, dir)
	if set != nil {
		l.owners(set, dir, absolute)
		l.bound(set, dir, absolute)
		l.settings(set, dir)
	}
	return set
}

func (l *loader) newSet(name, absolute, dir string) *Set {
	if first, taken := l.dirs[name]; taken {
		l.refuse(dir, 0, fmt.Errorf("the image set %q is read from %s already: rename one of the directories, or run them separately", name, first))
		return nil
	}
	set := &Set{Name: name}
	l.dirs[name] = dir
	l.sets[absolute] = set
	l.input.Sets = append(l.input.Sets, set)
	return set
}

// shown refuses names that would break the lines they are shown in, and reports whether path has
// none of these.
func (l *loader) shown(path string) bool {
	ok := text.IsPrintable(path)
	if !ok {
		l.refuse("", 0, fmt.Errorf("the name %q has characters that cannot be shown: rename it", path))
	}
	return ok
}

// withoutPath returns err without the path that it repeats.
func withoutPath(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return cmp.Or(pathErr.Err, err)
	}
	return err
}
