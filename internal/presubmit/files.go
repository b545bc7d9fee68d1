package presubmit

import (
	"path/filepath"
	"slices"
	"strings"

	"imagemirror/internal/imageset"
	"imagemirror/internal/kustomization"
)

// files checks the names of a set's mapping files.
func (c *checker) files(dir string) {
	names := imageset.MappingFiles(dir)
	c.misnamed(dir, names)
	twins := map[string]string{}
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := kustomization.CheckKey(name); err != nil {
			c.found.Refuse(kustomization.ConfigMap, path, 1, "%w", err)
		}
		// In a file system that ignores case, one of the two would replace the other.
		folded := strings.TrimSuffix(strings.ToLower(name), ".gz")
		if first := twins[folded]; first != "" {
			c.found.Refuse(kustomization.ConfigMap, path, 1, "the file differs from %s only in case or in .gz, and both are read: remove or rename one", first)
		} else {
			twins[folded] = name
		}
	}
}

// misnamed refuses files that are not named as their set. If none of several files is,
// another word that they have in common will do: that was a choice, as origin in the set
// openshift.
func (c *checker) misnamed(dir string, files []string) {
	set := imageset.NameOf(dir)
	begins := []string{set, strings.ReplaceAll(set, "-", "_"), strings.ReplaceAll(set, "_", "-")}
	if len(files) > 1 && !slices.ContainsFunc(files, func(f string) bool { return hasPrefixOf(f, begins) }) {
		if word := commonWord(files); word != "" {
			begins = []string{word}
		}
	}
	for _, f := range files {
		if !hasPrefixOf(f, begins) {
			c.found.Refuse(imageset.FileName, filepath.Join(dir, f), 1, "the file's name does not begin with %s, as those of the set do: rename it",
				alternatives(begins))
		}
	}
}

func hasPrefixOf(file string, begins []string) bool {
	return slices.ContainsFunc(begins, func(name string) bool { return strings.HasPrefix(file, imageset.Prefix+name) })
}

func alternatives(begins []string) string {
	var quoted []string
	for _, name := range begins {
		if word := imageset.Prefix + name; !slices.Contains(quoted, word) {
			quoted = append(quoted, word)
		}
	}
	return strings.Join(quoted, " or ")
}

// commonWord returns the first word of most files' names, or "" if no two files share one.
func commonWord(files []string) string {
	count := map[string]int{}
	most := ""
	for _, f := range files {
		word := strings.TrimSuffix(strings.TrimPrefix(f, imageset.Prefix), ".gz")
		if i := strings.IndexAny(word, "_-."); i >= 0 {
			word = word[:i]
		}
		if count[word]++; word != "" && count[word] > max(count[most], 1) {
			most = word
		}
	}
	return most
}
