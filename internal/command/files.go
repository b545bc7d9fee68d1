package command

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// RefuseDirectories returns an error if one of the files to read has an empty name or is a
// directory. People name the one that split wrote, so the error names the files inside it.
// Other errors are left to the code that opens the files.
func RefuseDirectories(names []string, inside ...string) error {
	for _, name := range names {
		if name == "" {
			return fmt.Errorf("the name of a file is empty: name files, such as %s", strings.Join(inside, " "))
		}
		info, err := os.Stat(name)
		if err != nil || !info.IsDir() {
			continue
		}
		dir := filepath.Clean(name)
		if filepath.Base(dir) == "shards" {
			dir = filepath.Dir(dir)
		}
		var paths []string
		for _, file := range inside {
			paths = append(paths, filepath.Join(dir, file))
		}
		return fmt.Errorf("%s is a directory: name files, such as %s", name, strings.Join(paths, " "))
	}
	return nil
}
