package imageset

import (
	"os"
	"path/filepath"
	"strings"

	"imagemirror/internal/finding"
	"imagemirror/internal/strictyaml"
)

// aliasesFile names teams for all OWNERS files of a repository. Prow reads it at the root only.
const aliasesFile = "OWNERS_ALIASES"

// aliases are the members of teams, by the team's name as normalLogin returns it.
type aliases map[string][]string

// expand replaces teams by their members.
func (a aliases) expand(names []string) []string {
	var all []string
	for _, name := range names {
		if members, ok := a[normalLogin(name)]; ok {
			all = appendNew(all, members...)
		} else {
			all = appendNew(all, name)
		}
	}
	return all
}

// normalLogin returns a name as Prow compares names: without case, and without the @ of a mention.
func normalLogin(name string) string { return strings.TrimPrefix(strings.ToLower(name), "@") }

// aliasesFor returns the aliases of the repository that has the directory absolute. Without any,
// reports name the teams. A file that cannot be read is not the set's mistake, so it is a warning.
func (l *loader) aliasesFor(absolute string) aliases {
	root := repositoryRoot(absolute)
	path := filepath.Join(root, aliasesFile)
	if root == "" || !Contains(root, aliasesFile) {
		return nil
	}
	if known, ok := l.aliases[root]; ok {
		return known
	}
	var found finding.List
	data, err := ReadFile(path, maxOwners)
	known := aliases{}
	if err != nil {
		found.Refuse(finding.Odd, path, 1, "%w", err)
	} else {
		known = parseAliases(path, data, &found)
	}
	for _, f := range found.All() {
		l.input.Found.Warn(finding.Odd, f.File, f.Line, "%w; reports name teams instead of people", f.Err)
	}
	l.aliases[root] = known
	return known
}

// parseAliases returns what is right in an OWNERS_ALIASES file, and adds what is wrong to found.
func parseAliases(path string, data []byte, found *finding.List) aliases {
	all := aliases{}
	found.Merge(strictyaml.Read(finding.Odd, path, data, maxOwners, func(v strictyaml.Value) {
		v.KnownKeys(finding.Odd, strictyaml.Key{Name: "aliases", Read: func(v strictyaml.Value) {
			v.Each(func(team string, v strictyaml.Value) {
				var members []string
				readNames(&members)(v)
				if members != nil || v.Empty() {
					all[normalLogin(team)] = members
				}
			})
		}})
	}))
	return all
}

// repositoryRoot returns the directory of the git repository that dir is in, or "" if it is in
// none.
func repositoryRoot(dir string) string {
	for {
		if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
			return dir
		}
		above := filepath.Dir(dir)
		if above == dir {
			return ""
		}
		dir = above
	}
}
