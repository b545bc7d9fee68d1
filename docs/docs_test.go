// Package docs holds what users read. Its tests keep the documents and the program together.
package docs

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = ".."

var link = regexp.MustCompile(`\]\(([^)#]+)[^)]*\)`)

func TestLinksLeadSomewhere(t *testing.T) {
	for _, file := range markdown(t) {
		for _, m := range link.FindAllStringSubmatch(read(t, file), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", file, m[1], err)
			}
		}
	}
}

func markdown(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".md") {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) < 5 {
		t.Fatalf("found the documents %v, %v", files, err)
	}
	return files
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var variable = regexp.MustCompile(`MIRROR_[A-Z_]+`)

// The table of variables has those of the commands' help, with the same defaults.
func TestEnvironmentIsDocumented(t *testing.T) {
	documented := map[string]string{}
	for line := range strings.Lines(read(t, "configuration.md")) {
		cells := strings.Split(line, "|")
		if len(cells) == 5 && variable.MatchString(cells[1]) {
			documented[strings.Trim(cells[1], " `")] = strings.TrimSpace(cells[2])
		}
	}
	helped := map[string]string{}
	for _, command := range []string{"split", "copy"} {
		out, err := exec.CommandContext(t.Context(), "go", "run", "imagemirror/cmd/"+command, "-h").Output()
		if err != nil {
			t.Fatalf("%s -h: %v", command, err)
		}
		for line := range strings.Lines(string(out)) {
			if name := variable.FindString(line); name != "" {
				_, unless, _ := strings.Cut(line, " (")
				unless, _, _ = strings.Cut(unless, " unless set)")
				helped[name] = strings.TrimSpace(unless)
			}
		}
	}
	for name, unless := range helped {
		if got, ok := documented[name]; !ok || got != unless && unless != "5) file" && !strings.Contains(unless, "locations") {
			t.Errorf("configuration.md says that %s is %q unless set, and the help %q", name, got, unless)
		}
	}
	for name := range documented {
		if _, ok := helped[name]; !ok {
			t.Errorf("configuration.md has %s, and no command has", name)
		}
	}
}

// CONTRIBUTING.md's table has every folder with code, and no other.
func TestFoldersAreDescribed(t *testing.T) {
	text := read(t, filepath.Join(root, "CONTRIBUTING.md"))
	table := text[strings.Index(text, "| path |"):]
	table = table[:strings.Index(table, "\n\n")]
	var described []string
	for _, m := range regexp.MustCompile("`([a-z/.-]+)`").FindAllStringSubmatch(table, -1) {
		if info, err := os.Stat(filepath.Join(root, m[1])); err == nil && info.IsDir() {
			described = append(described, m[1])
		} else if strings.Contains(m[1], "/") {
			t.Errorf("CONTRIBUTING.md describes %s, which is not there", m[1])
		}
	}
	for _, pattern := range []string{"*", "internal/*", "cmd/*", "test/*"} {
		folders, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range folders {
			name := filepath.ToSlash(strings.TrimPrefix(f, root+string(filepath.Separator)))
			info, err := os.Stat(f)
			parent := name == "internal" || name == "cmd" || name == "test" || name == "bin" || name == ".git"
			if err == nil && info.IsDir() && !parent && !slices.Contains(described, name) {
				t.Errorf("CONTRIBUTING.md does not describe %s", name)
			}
		}
	}
}
