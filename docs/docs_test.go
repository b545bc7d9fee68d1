// Package docs holds the documentation. Its tests compare it with the program.
package docs

import (
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const root = ".."

// bin is the directory of the commands, built once for all tests.
var bin string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if bin, err = os.MkdirTemp("", "docs-"); err != nil {
		panic(err)
	}
	defer os.RemoveAll(bin)
	if err := goCommand("build", "-o", bin, "imagemirror/cmd/...").Run(); err != nil {
		panic(err)
	}
	return m.Run()
}

// goCommand compiles without cgo, as images are compiled, so that the build cache serves both.
func goCommand(args ...string) *exec.Cmd {
	cmd := exec.Command("go", args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(cmd.Environ(), "CGO_ENABLED=0"), os.Stderr, os.Stderr
	return cmd
}

// ignored lists directories that git does not track.
var ignored = []string{".git", "bin", "release"}

var (
	link    = regexp.MustCompile(`\]\(([^)#]*)#?([^)]*)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	symbol  = regexp.MustCompile(`[^\pL\pN _-]`)
)

func TestLinksLeadSomewhere(t *testing.T) {
	for _, file := range markdown(t) {
		for _, m := range link.FindAllStringSubmatch(read(t, file), -1) {
			target, section := filepath.Join(filepath.Dir(file), m[1]), m[2]
			if strings.Contains(m[1], "://") {
				continue
			}
			if m[1] == "" {
				target = file
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", file, m[1], err)
			} else if section != "" && !slices.Contains(sections(read(t, target)), section) {
				t.Errorf("%s links to %s, which has no section %s", file, target, section)
			}
		}
	}
}

// sections returns the anchors that GitHub makes of a document's headings.
func sections(text string) []string {
	var names []string
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		names = append(names, strings.ReplaceAll(symbol.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return names
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

var (
	documentedVariable = regexp.MustCompile("(?m)^\\| `(MIRROR_[A-Z_]+)` \\| (.*?) ?\\|")
	helpedVariable     = regexp.MustCompile(`(?m)^  (MIRROR_[A-Z_]+) .*?(?: \(default ([^()]*)\))?$`)
)

// variables returns the names that pattern finds, with their defaults.
func variables(pattern *regexp.Regexp, text string) map[string]string {
	found := map[string]string{}
	for _, m := range pattern.FindAllStringSubmatch(text, -1) {
		found[m[1]] = m[2]
	}
	return found
}

// The table of variables has those of the commands' help, with the same defaults.
func TestEnvironmentIsDocumented(t *testing.T) {
	helped := map[string]string{}
	for _, command := range []string{"split", "copy", "report"} {
		out, err := exec.CommandContext(t.Context(), filepath.Join(bin, command), "-h").Output()
		if err != nil {
			t.Fatalf("%s -h: %v", command, err)
		}
		maps.Copy(helped, variables(helpedVariable, string(out)))
	}
	if len(helped) == 0 {
		t.Fatal("the help lists no variable")
	}
	const document = "reference/environment.md"
	if diff := cmp.Diff(helped, variables(documentedVariable, read(t, document))); diff != "" {
		t.Errorf("variables and their defaults (-help +%s):\n%s", document, diff)
	}
}

// CONTRIBUTING.md's table has every directory that holds files, and no other.
func TestDirectoriesAreDescribed(t *testing.T) {
	_, table, _ := strings.Cut(read(t, filepath.Join(root, "CONTRIBUTING.md")), "| path |")
	table, _, _ = strings.Cut(table, "\n\n")
	var described []string
	for line := range strings.Lines(table) {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[1], -1) {
				described = append(described, m[1])
			}
		}
	}
	for _, name := range described {
		if !holdsFiles(t, name) {
			t.Errorf("CONTRIBUTING.md describes %s, which is not a directory with files", name)
		}
	}
	for _, pattern := range []string{"*", "internal/*", "cmd/*", "test/*"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			name := filepath.ToSlash(strings.TrimPrefix(path, root+string(filepath.Separator)))
			parent := slices.ContainsFunc(described, func(d string) bool { return strings.HasPrefix(d, name+"/") })
			if !parent && !slices.Contains(ignored, name) && !slices.Contains(described, name) && holdsFiles(t, name) {
				t.Errorf("CONTRIBUTING.md does not describe %s", name)
			}
		}
	}
}

// holdsFiles reports whether a path from the root is a directory with a file in it or below it.
func holdsFiles(t *testing.T, name string) bool {
	t.Helper()
	dir := filepath.Join(root, name)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return false
	}
	found := false
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found = true
			return fs.SkipAll
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

var (
	namedTest   = regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z]\\w*)`")
	namedScript = regexp.MustCompile("`(\\w+\\.txtar)`")
	declared    = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Z]\w*)\(`)
)

// Documents name the tests that show what they promise.
func TestNamedTestsExist(t *testing.T) {
	there := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
		case strings.HasSuffix(path, "_test.go"):
			for _, m := range declared.FindAllStringSubmatch(read(t, path), -1) {
				there[m[1]] = true
			}
		case strings.HasSuffix(path, ".txtar"):
			there[d.Name()] = true
		}
		return err
	})
	if err != nil || len(there) == 0 {
		t.Fatalf("found the tests %v, %v", there, err)
	}
	for _, file := range markdown(t) {
		text := read(t, file)
		for _, m := range append(namedTest.FindAllStringSubmatch(text, -1), namedScript.FindAllStringSubmatch(text, -1)...) {
			if !there[m[1]] {
				t.Errorf("%s names %s, which does not exist", file, m[1])
			}
		}
	}
}

// Each promise of the threat model is shown by a test.
func TestPromisesNameATest(t *testing.T) {
	promises := 0
	for line := range strings.Lines(read(t, filepath.Join(root, "docs", "security.md"))) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| promise |") {
			continue
		}
		promises++
		_, shown, _ := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		if !namedTest.MatchString(shown) && !namedScript.MatchString(shown) {
			t.Errorf("no test shows this promise: %s", line)
		}
	}
	if promises == 0 {
		t.Error("docs/security.md has no promises")
	}
}

// A reader decides within the README's length whether to go on.
func TestReadmeIsShort(t *testing.T) {
	if n := strings.Count(read(t, filepath.Join(root, "README.md")), "\n"); n > 120 {
		t.Errorf("README.md has %d lines, want 120 at most", n)
	}
}
