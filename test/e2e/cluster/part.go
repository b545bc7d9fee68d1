package cluster

import (
	"crypto/sha256"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// recipes is this package's own source: how a part is made belongs to what it was made from.
//
//go:embed *.go
var recipes embed.FS

// part returns the folder of a part of the cache, which make fills unless it is there. A part under its name is whole. Those of
// the same name that were made from something else are removed: they can be large.
func (m *machine) part(name, key string, make func(dir string) error) (string, error) {
	dir := m.path("parts", name+"-"+key)
	if exists(dir) {
		return dir, nil
	}
	old, err := filepath.Glob(m.path("parts", name+"-*"))
	if err != nil {
		return "", err
	}
	for _, folder := range old {
		if err := os.RemoveAll(folder); err != nil {
			return "", err
		}
	}
	unfinished := dir + ".new"
	if err := os.MkdirAll(unfinished, 0o755); err != nil {
		return "", err
	}
	if err := make(unfinished); err != nil {
		return "", err
	}
	return dir, os.Rename(unfinished, dir)
}

// keyOf is a short hash over all that decides what a part is.
func keyOf(inputs ...string) string {
	h := sha256.New()
	for _, input := range inputs {
		fmt.Fprintf(h, "%d %s\n", len(input), input)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:6])
}

// recipe is the source in some files of this package.
func recipe(files ...string) string {
	var all strings.Builder
	for _, file := range files {
		b, err := recipes.ReadFile(file)
		if err != nil {
			panic(err) // a name that is not embedded is a mistake in this package
		}
		all.Write(b)
	}
	return all.String()
}

// folder is all that lies below a folder of the sources but tests, in one string.
func (m *machine) folder(name string) (string, error) {
	var all strings.Builder
	root := os.DirFS(m.source)
	err := fs.WalkDir(root, name, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := fs.ReadFile(root, path)
		fmt.Fprintf(&all, "%s %d\n%s", path, len(b), b)
		return err
	})
	return all.String(), err
}
