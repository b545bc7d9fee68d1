package imageset

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// NameOf returns the name of the set in a directory, which may be ".".
func NameOf(dir string) string {
	if absolute, err := filepath.Abs(dir); err == nil {
		dir = absolute
	}
	return filepath.Base(dir)
}

// MappingFiles returns the names of a directory's mapping files, whatever kind of file they
// are. It returns none if the directory cannot be read: Load tells why.
func MappingFiles(dir string) []string {
	var names []string
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), Prefix) {
			names = append(names, e.Name())
		}
	}
	return names
}

// Directories returns the paths of the directories in a directory, and of links to directories. It
// leaves out hidden ones, and returns none if the directory cannot be read: Load tells why.
func Directories(dir string) []string {
	var dirs []string
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if info, err := os.Stat(path); err == nil && info.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			dirs = append(dirs, path)
		}
	}
	return dirs
}

// Contains reports whether a directory has an entry of that name, even a link to nothing.
func Contains(dir, name string) bool {
	_, err := os.Lstat(filepath.Join(dir, name))
	return err == nil
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
