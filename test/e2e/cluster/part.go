package cluster

import (
	"crypto/sha256"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// recipes is this package's own source. How a part is made is one of its inputs.
//
//go:embed *.go
var recipes embed.FS

// part returns the directory of a part in the cache, and calls make to fill it if it is not there.
// A part that is there under its name is whole. Parts of the same name with another key are
// removed, because they can be large.
func (m *machine) part(name, key string, make func(dir string) error) (string, error) {
	dir := m.path("parts", name+"-"+key)
	if exists(dir) {
		return dir, nil
	}
	old, err := filepath.Glob(m.path("parts", name+"-*"))
	if err != nil {
		return "", err
	}
	for _, outdated := range old {
		if err := os.RemoveAll(outdated); err != nil {
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

// keyOf returns a short hash of everything that decides what a part contains.
func keyOf(inputs ...string) string {
	h := sha256.New()
	for _, input := range inputs {
		fmt.Fprintf(h, "%d %s\n", len(input), input)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:6])
}

// recipe returns the source of some files of this package.
func recipe(files ...string) string {
	var all strings.Builder
	for _, file := range files {
		b, err := recipes.ReadFile(file)
		if err != nil {
			panic(err) // the names are constants of this package
		}
		all.Write(b)
	}
	return all.String()
}

// sources returns, in one string, every file below a directory of this module except tests.
func (m *machine) sources(dir string) (string, error) {
	var all strings.Builder
	root := os.DirFS(filepath.Join(m.source, dir))
	err := fs.WalkDir(root, ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(file, "_test.go") {
			return err
		}
		b, err := fs.ReadFile(root, file)
		fmt.Fprintf(&all, "%s %d\n%s", path.Join(dir, file), len(b), b)
		return err
	})
	return all.String(), err
}
