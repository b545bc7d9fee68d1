package imageset

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"imagemirror/internal/finding"
	"imagemirror/internal/strictyaml"
)

// OwnersFile is the name of the file that names the owners of a set.
const OwnersFile = "OWNERS"

// maxOwners bounds an OWNERS file, in bytes, and maxOwner a name in it.
const (
	maxOwners = 1 << 20
	maxOwner  = 100
)

// Owned is the rule about sets that nobody owns. Its findings are warnings, since a run
// mirrors such a set; the presubmit makes them mistakes.
var Owned = &finding.Rule{ID: "owners", Text: "Each set has an OWNERS file that names approvers."}

// owners reads the approvers of the set in dir.
func (l *loader) owners(set *Set, dir, absolute string) {
	file := filepath.Join(dir, OwnersFile)
	data, err := ReadFile(file, maxOwners)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.unowned(absolute, file, fmt.Errorf("the image set %q has no OWNERS file: add one, so that reports name its approvers", set.Name))
		return
	case err != nil:
		l.refuse(file, 1, err)
		return
	}
	var found *finding.List
	set.Owners, found = parseOwners(file, data)
	l.input.Found.Merge(found)
	if len(set.Owners) == 0 && found.Err() == nil {
		l.unowned(absolute, file, errors.New("OWNERS names no approver: add one, so that reports name them"))
	}
}

// unowned warns that nobody owns the set in the directory absolute. The rule Owned is for
// whole sets: if only files of a set are named, it is merely odd.
func (l *loader) unowned(absolute, file string, err error) {
	rule := finding.Odd
	if l.named[absolute] {
		rule = Owned
	}
	l.input.Found.Warn(rule, file, 1, "%w", err)
}

// ReadFile reads a regular file of an image set, up to one byte more than size, so that the
// caller can tell that it is larger. It refuses a link that leads out of the file's
// directory. Errors do not name the path.
func ReadFile(path string, size int64) ([]byte, error) {
	if err := CheckRegular(path); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, size+1))
	if err != nil {
		return nil, fmt.Errorf("reading the file: %w", withoutPath(err))
	}
	return data, nil
}

// parseOwners returns the approvers that an OWNERS file names: the file that code review bots
// read. Only the approvers matter here; the other keys are known so that a misspelled key is
// a mistake.
func parseOwners(path string, data []byte) ([]string, *finding.List) {
	var approvers, others []string
	found := strictyaml.Read(finding.Input, path, data, maxOwners, func(v strictyaml.Value) {
		v.Keys(
			strictyaml.Key{Name: "approvers", Read: people(&approvers)},
			strictyaml.Key{Name: "reviewers", Read: people(&others)},
			strictyaml.Key{Name: "emeritus_approvers", Read: people(&others)},
			strictyaml.Key{Name: "labels", Read: people(&others)},
			strictyaml.Key{Name: "options", Read: ownersOptions},
		)
	})
	if found.Err() != nil {
		return nil, found
	}
	return approvers, found
}

func ownersOptions(v strictyaml.Value) {
	v.Keys(strictyaml.Key{Name: "no_parent_owners", Read: func(v strictyaml.Value) { v.Bool() }})
}

func people(to *[]string) func(strictyaml.Value) {
	return func(v strictyaml.Value) {
		v.List(func(v strictyaml.Value) {
			name, ok := v.Word()
			if ok && len(name) > maxOwner {
				v.Refuse("the name %.*q has more than %d bytes: write a user or a team", maxOwner, name, maxOwner)
				return
			}
			if ok {
				*to = append(*to, name)
			}
		})
	}
}
