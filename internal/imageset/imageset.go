// Package imageset turns the paths on a command line (mapping files, image-set directories,
// standard input) into image sets: the mappings of one team, with the people to tell if one
// of them fails.
//
// It checks a run as a whole. A destination has one source in all files. A path that would
// mirror nothing is refused: a run that does nothing would look like a success.
package imageset

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"imagemirror/internal/finding"
	"imagemirror/internal/mapping"
	"imagemirror/internal/policy"
	"imagemirror/internal/settings"
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
