package imageset

import (
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
