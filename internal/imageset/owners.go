package imageset

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"imagemirror/internal/finding"
	"imagemirror/internal/strictyaml"
)

// OwnersFile is the name of the file that names the owners of a set.
const OwnersFile = "OWNERS"

// maxOwners bounds an OWNERS file, in bytes, maxOwner a name in it, and maxApprovers the
// approvers of a set.
const (
	maxOwners    = 1 << 20
	maxOwner     = 100
	maxApprovers = 1000
)

// Owned is the rule about sets that nobody owns. Its findings are warnings, since a run
// mirrors such a set; the presubmit makes them mistakes.
var Owned = &finding.Rule{ID: "owners", Text: "Each set has an OWNERS file that names approvers."}

// OwnersKey is the rule about keys of OWNERS files that Prow does not know. It ignores them, and
// so does a run; the presubmit makes them mistakes, since they may be others misspelled.
var OwnersKey = &finding.Rule{ID: "owners-key", Text: "The keys of an OWNERS file are those that Prow reads."}

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
	owners, found := parseOwners(file, data)
	set.Owners = l.aliasesFor(absolute).expand(owners.of(MappingFiles(dir)))
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

// A codeOwners is what an OWNERS file says about approvers.
type codeOwners struct {
	approvers []string
	filters   []ownersFilter // if there are any, Prow ignores approvers beside them
}

// An ownersFilter names the approvers of the files that match.
type ownersFilter struct {
	files     *regexp.Regexp // of paths below the directory of the OWNERS file
	approvers []string
}

// of returns the approvers of any of the files, each once.
func (o codeOwners) of(files []string) []string {
	if len(o.filters) == 0 {
		return o.approvers
	}
	var all []string
	for _, f := range o.filters {
		if slices.ContainsFunc(files, f.files.MatchString) {
			all = appendNew(all, f.approvers...)
		}
	}
	return all
}

// appendNew appends the names that are not in the list yet, as long as it has room.
func appendNew(list []string, names ...string) []string {
	for _, name := range names {
		if len(list) < maxApprovers && !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}

// parseOwners reads an OWNERS file in either of Prow's two forms: roles for all files, or
// roles for those that match filters
// (https://docs.prow.k8s.io/docs/components/plugins/approve/approvers/). Only the approvers
// matter here. An unknown key is a warning of the rule OwnersKey.
func parseOwners(path string, data []byte) (codeOwners, *finding.List) {
	var owners codeOwners
	found := strictyaml.Read(finding.Input, path, data, maxOwners, func(v strictyaml.Value) {
		v.KnownKeys(OwnersKey, append(roleKeys(&owners.approvers),
			strictyaml.Key{Name: "options", Read: ownersOptions},
			strictyaml.Key{Name: "filters", Read: func(v strictyaml.Value) { owners.filters = filtersOf(v) }},
			// OpenShift's: the component that bugs are filed against.
			strictyaml.Key{Name: "component", Read: ignored}, strictyaml.Key{Name: "subcomponent", Read: ignored},
		)...)
		if len(owners.filters) > 0 && len(owners.approvers) > 0 {
			v.Warn("approvers beside filters have no effect: move them to a filter such as \".*\"")
		}
	})
	if found.Err() != nil {
		return codeOwners{}, found
	}
	return owners, found
}

// roleKeys returns the keys that name people, and labels. The approvers go to approvers.
func roleKeys(approvers *[]string) []strictyaml.Key {
	keys := []strictyaml.Key{{Name: "approvers", Read: readNames(approvers)}}
	for _, name := range []string{"reviewers", "required_reviewers", "emeritus_approvers", "emeritus_reviewers", "labels"} {
		keys = append(keys, strictyaml.Key{Name: name, Read: readNames(new([]string))})
	}
	return keys
}

func filtersOf(v strictyaml.Value) (filters []ownersFilter) {
	v.Each(func(pattern string, v strictyaml.Value) {
		var approvers []string
		v.KnownKeys(OwnersKey, roleKeys(&approvers)...)
		files, err := regexp.Compile(pattern)
		if err != nil {
			v.Refuse("the filter %.*q is not a regular expression: %v", maxOwner, pattern, err)
			return
		}
		filters = append(filters, ownersFilter{files, approvers})
	})
	return filters
}

func ignored(strictyaml.Value) {}

func ownersOptions(v strictyaml.Value) {
	flag := func(v strictyaml.Value) { v.Bool() }
	v.KnownKeys(OwnersKey,
		strictyaml.Key{Name: "no_parent_owners", Read: flag},
		strictyaml.Key{Name: "auto_approve_unowned_subfolders", Read: flag},
	)
}

func readNames(to *[]string) func(strictyaml.Value) {
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
