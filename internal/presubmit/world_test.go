package presubmit

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imagemirror/internal/imageset"
	"imagemirror/internal/kustomization"
	"imagemirror/internal/policy"
)

// sets is the directory of image sets in a world. A world is the working directory.
const sets = "image-sets"

// A world is a copy of image sets to make mistakes in. Files are named by their paths in
// image-sets.
type world struct {
	t     *testing.T
	extra []string          // paths that are checked besides image-sets
	made  string            // a directory that was made
	was   map[string]string // texts of the files that were changed; none where there was no file
}

// none stands for a file that is not there.
const none = "\x00none"

// newWorld copies image sets into a new working directory.
func newWorld(t *testing.T, from string) *world {
	t.Helper()
	from, err := filepath.Abs(from)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if err := os.CopyFS(sets, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return &world{t: t}
}

// during lets t make one mistake, and undoes it after t.
func (w *world) during(t *testing.T) *world {
	one := &world{t: t, was: map[string]string{}}
	t.Cleanup(func() {
		if one.made != "" {
			_ = os.RemoveAll(filepath.Join(sets, one.made))
		}
		for path, text := range one.was {
			_ = os.Remove(path) // which may be a link
			if text == none {
				continue
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	})
	return one
}

// keep remembers a file before it is changed.
func (w *world) keep(path string) {
	if _, known := w.was[path]; known || w.was == nil {
		return
	}
	if text, err := os.ReadFile(path); err == nil {
		w.was[path] = string(text)
	} else {
		w.was[path] = none
	}
}

// realSets returns a directory of real mapping files beside the repository. Without it, the
// test is skipped.
func realSets(t *testing.T) string {
	t.Helper()
	dir := filepath.Join("..", "..", "..", "shared", "mappings")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("the real mapping files are not there: ../shared/mappings beside the repository")
	}
	return dir
}

// install gives all sets OWNERS and settings that allow any destination, and generates their
// kustomizations. No policy is beside them.
func (w *world) install() {
	_ = os.Remove(filepath.Join(sets, policy.File))
	for _, dir := range imageset.Directories(sets) {
		if name := filepath.Base(dir); len(imageset.MappingFiles(dir)) > 0 {
			w.write(name+"/OWNERS", "approvers:\n- ann\n")
			w.write(name+"/settings.yaml", settingsOf(name, "  schedule: 7 * * * *\n"))
		}
	}
	if !imageset.Contains(sets, "base") {
		w.write("base/kustomization.yaml", "resources:\n  - cronjob.yaml\n")
		w.write("base/cronjob.yaml", "apiVersion: batch/v1\nkind: CronJob\nmetadata:\n  name: mirror\n")
	}
	w.generate()
}

// generate writes the kustomizations of all sets that have no mistake in their own files.
func (w *world) generate() {
	w.t.Helper()
	for _, dir := range append(imageset.Directories(sets), sets) {
		w.keep(filepath.Join(dir, kustomization.File))
	}
	tree, _ := kustomization.Read(sets)
	if _, err := tree.Write(); err != nil {
		w.t.Fatal(err)
	}
}

// settingsOf returns settings with the given lines below spec, from line 8.
func settingsOf(set, spec string) string {
	return "apiVersion: imagemirror/v1\nkind: Settings\nmetadata:\n  name: " + set +
		"\n  annotations:\n    config.kubernetes.io/local-config: \"true\"\nspec:\n" + spec
}

// found returns the findings as lines. Those of warnings begin with "warning: ".
func (w *world) found() []string {
	_, all := Check(append([]string{sets}, w.extra...), nil)
	var lines []string
	for _, f := range all.All() {
		line := f.Error()
		if f.Warning {
			line = "warning: " + line
		}
		lines = append(lines, line)
	}
	return lines
}

func (w *world) read(file string) string {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(sets, file))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

func (w *world) write(file, text string) {
	w.t.Helper()
	path := filepath.Join(sets, file)
	w.keep(path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// link makes a link.
func (w *world) link(file, to string) {
	w.t.Helper()
	w.keep(filepath.Join(sets, file))
	if err := os.Symlink(to, filepath.Join(sets, file)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) remove(file string) {
	w.t.Helper()
	w.keep(filepath.Join(sets, file))
	if err := os.Remove(filepath.Join(sets, file)); err != nil {
		w.t.Fatal(err)
	}
}

// edited replaces a text in the kustomization of a set, or in the listing of the set ".", and
// returns the place some lines below.
func (w *world) edited(set, old, with string, below int) place {
	w.t.Helper()
	file := filepath.Join(set, kustomization.File)
	return place{file, w.replace(file, old, with) + below}
}

// replace replaces a text that is in the file, and returns the line on which it begins.
func (w *world) replace(file, old, with string) int {
	w.t.Helper()
	before, after, found := strings.Cut(w.read(file), old)
	if !found {
		w.t.Fatalf("%s has no %q", file, old)
	}
	w.write(file, before+with+after)
	return 1 + strings.Count(before, "\n")
}

// line returns the first line of a file with one source and one destination, and its number.
func (w *world) line(file string) (source, destination string, n int) {
	w.t.Helper()
	for line := range strings.SplitSeq(w.read(file), "\n") {
		n++
		if f := strings.Fields(line); len(f) == 2 && !strings.HasPrefix(f[0], "#") {
			return f[0], f[1], n
		}
	}
	w.t.Fatalf("%s has no line with one source and one destination", file)
	return "", "", 0
}

// edit replaces the first line of a file with one source and one destination.
func (w *world) edit(file string, to func(source, destination string) string) place {
	w.t.Helper()
	source, destination, n := w.line(file)
	lines := strings.Split(w.read(file), "\n")
	lines[n-1] = to(source, destination)
	w.write(file, strings.Join(lines, "\n"))
	return place{file, n}
}

// add appends a line to a file.
func (w *world) add(file, line string) place {
	w.t.Helper()
	text := w.read(file)
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	w.write(file, text+line+"\n")
	return place{file, 1 + strings.Count(text, "\n")}
}

// mapping adds a mapping file to a set, and to its kustomization.
func (w *world) mapping(set, name, text string) {
	w.t.Helper()
	w.write(set+"/"+name, text)
	w.generate()
}

// A place is where a mistake is.
type place struct {
	file string // in image-sets
	line int    // 0: about the path
}

func (p place) String() string {
	path := filepath.Join(sets, p.file)
	if p.line == 0 {
		return path + ": "
	}
	return fmt.Sprintf("%s:%d: ", path, p.line)
}

func compress(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
