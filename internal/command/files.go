package command

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Files refuses a directory among the files that a command is to read. What is meant is one that split wrote, whose files are
// inside. What cannot be read for another reason is left to whoever opens it.
func Files(names []string, inside ...string) error {
	for _, name := range names {
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
