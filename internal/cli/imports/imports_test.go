package imports

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/command"
	"imagemirror/internal/foreign"
	"imagemirror/internal/presubmit"
)

var update = flag.Bool("update", false, "write what is compared into testdata")

const samples = "../../foreign/testdata/"

// The files of the samples become sets that pass the check. What is compared has what could not be
// said, the mappings and the settings of each set.
func TestSamples(t *testing.T) {
	for _, c := range []struct {
		name  string
		files []string
	}{
		{"regsync", []string{"regsync.yml"}},
		{"skopeo", []string{"skopeo.yaml"}},
		{"image-syncer", []string{"auth.json", "images.yaml"}},
		{"image-syncer-older", []string{"config.json"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := t.TempDir()
			sample := config{Command: &command.Command{}, name: c.name, owners: "alice,bob", out: out}
			sample.target = foreign.SkopeoTarget{Prefix: "registry.example.com/mirror", Scoped: true}
			var files []string
			for _, file := range c.files {
				files = append(files, samples+file)
			}
			entries, found, err := sample.read(files)
			if err != nil {
				t.Fatal(err)
			}
			sets := groupEntries(entries, found)
			found.Sort()
			if err := found.Err(); err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			for _, w := range found.Warnings() {
				b.WriteString(strings.TrimPrefix(w.Error(), samples) + "\n")
			}
			if err := sample.write(sets, c.name, []string{"alice", "bob"}, 0); err != nil {
				t.Fatal(err)
			}
			if _, found := presubmit.Check([]string{out}, nil); found.Err() != nil {
				t.Error(found.Err())
			}
			b.WriteString(written(t, out))
			compare(t, filepath.Join("testdata", c.name+".txt"), b.String())
			for _, secret := range []string{"hunter2", "this is a secret"} {
				if strings.Contains(b.String(), secret) {
					t.Errorf("%q is in what was written", secret)
				}
			}
		})
	}
}

// written returns the files that people edit, each after its name.
func written(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	paths, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name, _ := filepath.Rel(dir, path)
		b.WriteString("-- " + filepath.ToSlash(name) + " --\n" + string(data))
	}
	return b.String()
}

func compare(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update writes it):\n%s", file, diff)
	}
}

// imported returns the sets that a file becomes, and what was found.
func imported(t *testing.T, text string) (sets []*entryGroup, warnings []string, err error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "f.yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	entries, found, err := (&config{}).read([]string{file})
	if err != nil {
		t.Fatal(err)
	}
	sets = groupEntries(entries, found)
	for _, w := range found.Warnings() {
		warnings = append(warnings, strings.TrimPrefix(w.Error(), filepath.Dir(file)+"/"))
	}
	return sets, warnings, found.Err()
}

func TestGroups(t *testing.T) {
	for _, c := range []struct {
		name, text string
		mappings   []string // of each set
		err        string
	}{
		{"a line twice", "a.io/x:1: [b.io/x, b.io/x:1]", []string{"a.io/x:1 b.io/x:1\n"}, ""},
		{"two digests in one repository", "a.io/x@sha256:" + strings.Repeat("1", 64) + ": b.io/x\na.io/x@sha256:" + strings.Repeat("2", 64) + ": b.io/x\n",
			[]string{"a.io/x@sha256:" + strings.Repeat("1", 64) + " b.io/x\na.io/x@sha256:" + strings.Repeat("2", 64) + " b.io/x\n"}, ""},
		{"two sources", "a.io/x:1: b.io/x\na.io/y:1: b.io/x", nil, "f.yaml:2: destination b.io/x:1 has the source a.io/y:1 here and the source a.io/x:1 at"},
		{"options of a whole set", "sync: [{source: a.io/x, target: b.io/x, type: image}, {source: a.io/y, target: b.io/y, type: image, schedule: '1 2 * * *'}, {source: a.io/z, target: b.io/z, type: image}]",
			[]string{"a.io/x:latest b.io/x:latest\na.io/z:latest b.io/z:latest\n", "a.io/y:latest b.io/y:latest\n"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			sets, _, err := imported(t, c.text)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v, want %s", err, c.err)
				}
				return
			}
			var got []string
			for _, s := range sets {
				got = append(got, s.mapping())
			}
			if diff := cmp.Diff(c.mappings, got); diff != "" || err != nil {
				t.Errorf("mappings (-want +got):\n%s%v", diff, err)
			}
		})
	}
}
