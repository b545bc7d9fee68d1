package imageset

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// write writes files, by their paths below a new directory, and makes that the working
// directory.
func write(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for path, text := range files {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// lines returns the sets' mappings, as "SET FILE:LINE DESTINATION".
func lines(in *Input) []string {
	var out []string
	for _, s := range in.Sets {
		for _, m := range s.Mappings {
			out = append(out, fmt.Sprintf("%s %s:%d %s", s.Name, m.File, m.Line, m.Destination))
		}
	}
	return out
}

// pair returns a line of a mapping file.
func pair(name string) string { return "q.io/s/" + name + ":1 q.io/d/" + name + "\n" }

const owners = "approvers:\n- ada\n- grace\n"

func TestPathsBecomeSets(t *testing.T) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := io.WriteString(z, pair("z")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, map[string]string{
		"sets/one/OWNERS":         owners,
		"sets/one/README.md":      "# one",
		"sets/one/.mapping_x.swp": "\x00",
		"sets/one/mapping_b_v2":   pair("b"),
		"sets/one/mapping_a_v1":   "\n" + pair("a"),
		"sets/one/mapping_z.gz":   zipped.String(),
		"sets/two/OWNERS":         owners,
		"sets/two/list":           pair("l"),
		"sets/two/mapping_c":      pair("c"),
	})
	in, err := Load([]string{"./sets/one/", "sets/two/list", Stdin}, strings.NewReader(pair("s")))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"one sets/one/mapping_a_v1:2 q.io/d/a:1",
		"one sets/one/mapping_b_v2:1 q.io/d/b:1",
		"one sets/one/mapping_z.gz:1 q.io/d/z:1",
		"two sets/two/list:1 q.io/d/l:1",
		"stdin stdin:1 q.io/d/s:1",
	}
	if diff := cmp.Diff(want, lines(in)); diff != "" {
		t.Errorf("mappings (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string(nil), in.Warnings()); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"ada", "grace"}, in.Sets[1].Owners); diff != "" {
		t.Errorf("owners of a single file's set (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"sets/one/mapping_a_v1", "sets/one/mapping_b_v2", "sets/one/mapping_z.gz"}, in.Sets[0].Files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestADirectoryOfSetsStandsForThem(t *testing.T) {
	write(t, map[string]string{
		"sets/README.md":          "",
		"sets/base/kustomization": "",
		"sets/b/mapping_b":        pair("b"),
		"sets/b/nested/mapping_c": pair("c"),
		"sets/a/mapping_a":        pair("a"),
		"sets/.git/mapping_x":     pair("x"),
	})
	in, err := Load([]string{"sets"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range in.Sets {
		got = append(got, s.Name+": "+strings.Join(s.Files, " "))
	}
	want := []string{"a: sets/a/mapping_a", "b: sets/b/mapping_b"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("sets (-want +got):\n%s", diff)
	}
}

func TestASetIsReadFromWithin(t *testing.T) {
	write(t, map[string]string{"knative/OWNERS": owners, "knative/mapping_a": pair("a"), "knative/mapping_b": pair("b")})
	t.Chdir("knative")
	for _, paths := range [][]string{{"."}, {"mapping_a", "./mapping_b"}} {
		in, err := Load(paths, nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"knative mapping_a:1 q.io/d/a:1", "knative mapping_b:1 q.io/d/b:1"}, lines(in)); diff != "" {
			t.Errorf("mappings of %q (-want +got):\n%s", paths, diff)
		}
	}
}

// The kubelet mounts a ConfigMap as links into a directory that it exchanges as a whole.
func TestMountedConfigMapsAreRead(t *testing.T) {
	write(t, map[string]string{"mappings/..2024_01/mapping_a": pair("a"), "mappings/..2024_01/OWNERS": owners})
	for link, to := range map[string]string{"..data": "..2024_01", "mapping_a": "..data/mapping_a", "OWNERS": "..data/OWNERS"} {
		if err := os.Symlink(to, filepath.Join("mappings", link)); err != nil {
			t.Fatal(err)
		}
	}
	in, err := Load([]string{"mappings"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"mappings mappings/mapping_a:1 q.io/d/a:1"}, lines(in)); diff != "" {
		t.Errorf("mappings (-want +got):\n%s", diff)
	}
	if len(in.Sets[0].Owners) != 2 || in.Warnings() != nil {
		t.Errorf("got owners %q and warnings %q", in.Sets[0].Owners, in.Warnings())
	}
}

func TestOddFilesAreWarnedOf(t *testing.T) {
	write(t, map[string]string{
		"a/mapping_1":   pair("a"),
		"a/mapping_2":   pair("a") + pair("b"),
		"a/mapping_3":   "",
		"a/mappings-v4": pair("c"),
		"b/mapping_1":   pair("d"),
		"b/OWNERS":      "approvers: []\n",
	})
	in, err := Load([]string{"a", "a/", "a/mapping_1", "b", "b/mapping_1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"a/mappings-v4:1: the file is not read: a mapping file's name begins with mapping_",
		`a/OWNERS:1: the image set "a" has no OWNERS file: add one, so that reports name its approvers`,
		"a/mapping_2:1: destination q.io/d/a:1 has the same source at a/mapping_1:1 already: it is mirrored once",
		"a/mapping_3:1: the file has no mapping: nothing is mirrored for it",
		"a:1: this is named twice: it is read once",
		"a/mapping_1:1: this is named twice: it is read once",
		"b/OWNERS:1: OWNERS names no approver: add one, so that reports name them",
		"b/mapping_1:1: this is named twice: it is read once",
	}
	if diff := cmp.Diff(want, in.Warnings()); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	var unowned []string
	for _, w := range in.Found.Warnings() {
		if w.Rule == Owned {
			unowned = append(unowned, w.Error())
		}
	}
	if diff := cmp.Diff([]string{want[1], want[6]}, unowned); diff != "" {
		t.Errorf("what nobody owns (-want +got):\n%s", diff)
	}
	if got, want := len(lines(in)), 3; got != want {
		t.Errorf("got %d mappings, want %d", got, want)
	}
}

func TestEmptyFilesAreAccepted(t *testing.T) {
	write(t, map[string]string{"a/mapping_1": "", "a/mapping_2": "# later\n", "a/OWNERS": owners})
	in, err := Load([]string{"a"}, nil)
	if err != nil || len(in.Warnings()) != 2 || len(in.Sets) != 1 {
		t.Errorf("got %d sets, warnings %q, error %v", len(in.Sets), in.Warnings(), err)
	}
}

func TestWrongPathsAreRefused(t *testing.T) {
	write(t, map[string]string{
		"a/OWNERS":              owners,
		"a/mapping_1":           pair("a"),
		"empty/OWNERS":          owners,
		"empty/origin_v3":       pair("a"),
		"sets/a/mapping_2":      pair("b"),
		"deep/a/b/mapping_1":    pair("b"),
		"mixed/a/mapping_1":     pair("a"),
		"mixed/b/OWNERS":        owners,
		"mixed/c/settings.yaml": "",
		"mixed/docs/README":     "",
		"owners/OWNERS":         "approvers: ada\n",
		"owners/mapping_1":      "x\n",
		"folder/OWNERS":         owners,
		"folder/mapping_1/file": pair("a"),
		"folder/mapping_2":      pair("b"),
		"gone/OWNERS":           owners,
		"binary/OWNERS":         owners,
		"binary/mapping_1":      "\x7fELF\x00\x00\n\x00\n",
	})
	if err := errors.Join(os.Symlink("nowhere", "gone/mapping_1"), syscall.Mkfifo("fifo", 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		paths []string
		want  []string // the beginnings of the error's lines
	}{
		{"no path", nil, []string{"no PATH is given: name a mapping file"}},
		{"an empty path", []string{""}, []string{"a PATH is empty"}},
		{"a missing path", []string{"nowhere"}, []string{"nowhere: no such file or directory"}},
		{"a path below a file", []string{"a/mapping_1/x"}, []string{"a/mapping_1/x: not a directory"}},
		{"a named pipe", []string{"fifo"}, []string{"fifo: this is not a regular file: name a mapping file"}},
		{"a device", []string{"/dev/null"}, []string{"/dev/null: this is not a regular file"}},
		{"no mapping file", []string{"empty"}, []string{"empty: the directory has no mapping file"}},
		{"a directory of sets that are no sets", []string{"deep"}, []string{"deep: the directory has no mapping file"}},
		{"a set among others that has no mapping file", []string{"mixed"}, []string{"mixed/b: the directory has no mapping file", "mixed/c: the directory has no mapping file"}},
		{"two directories of one name", []string{"a", "sets/a"}, []string{`sets/a: the image set "a" is read from a already`}},
		{"OWNERS and a mapping file", []string{"owners"}, []string{`owners/OWNERS:1: approvers is not a list`, "owners/mapping_1:1: source", "owners/mapping_1:1: source"}},
		{"a directory that is called a mapping file", []string{"folder"}, []string{"folder/mapping_1:1: this is not a regular file"}},
		{"a link to nothing", []string{"gone"}, []string{"gone/mapping_1:1: no such file or directory"}},
		{"a binary file", []string{"binary"}, []string{"binary/mapping_1:1: the file is not text"}},
		{"a name that would break a line", []string{"a\nb"}, []string{`the name "a\nb" has characters`}},
		{"several", []string{"nowhere", "empty", "a"}, []string{"nowhere: ", "empty: "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Load(c.paths, nil)
			got := strings.Split(fmt.Sprint(err), "\n")
			if len(got) != len(c.want) {
				t.Fatalf("got %q, want %q", got, c.want)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], c.want[i]) {
					t.Errorf("got %q, want it to begin with %q", got[i], c.want[i])
				}
			}
		})
	}
}

func TestUnreadableFilesAreRefused(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root reads every file")
	}
	write(t, map[string]string{"a/mapping_1": pair("a"), "a/OWNERS": owners})
	if err := os.Chmod("a/mapping_1", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := Load([]string{"a"}, nil); err == nil || err.Error() != "a/mapping_1:1: permission denied" {
		t.Errorf("got error %v", err)
	}
}

// A mistake in one file does not hide those in others, nor a destination that both claim.
func TestAMistakeHidesNoOther(t *testing.T) {
	write(t, map[string]string{
		"a/OWNERS":    owners,
		"a/mapping_1": pair("a") + "q.io/x\n",
		"b/OWNERS":    owners,
		"b/mapping_1": pair("b") + "q.io/s/other:1 q.io/d/a\nq.io/y:1 q.io/d/b::1\nq.io/s/a:1 q.io/d/a:1\n",
	})
	in, err := Load([]string{"a", "b"}, nil)
	want := []string{
		`a/mapping_1:2: source "q.io/x" has no tag and no digest: write q.io/x:TAG, or q.io/x:* for all tags`,
		`a/mapping_1:2: source "q.io/x" has no destination: write SRC DST`,
		"b/mapping_1:2: destination q.io/d/a:1 has the source q.io/s/other:1 here and the source q.io/s/a:1 at a/mapping_1:1: keep one of the two",
		`b/mapping_1:3: destination "q.io/d/b::1" is not an image name: write HOST/REPOSITORY:TAG in lower case, such as quay.io/org/image:v1`,
	}
	if diff := cmp.Diff(want, strings.Split(fmt.Sprint(err), "\n")); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"b/mapping_1:4: destination q.io/d/a:1 has the same source at a/mapping_1:1 already: it is mirrored once"}, in.Warnings()); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

// The project's own sets have no mistake, nothing odd, and no destination twice.
func TestOwnSets(t *testing.T) {
	files, err := filepath.Glob("../../image-sets/*/OWNERS")
	if err != nil || len(files) != 8 {
		t.Fatalf("got %d sets, want 8, error %v", len(files), err)
	}
	var dirs []string
	for _, f := range files {
		dirs = append(dirs, filepath.Dir(f))
	}
	in, err := Load(dirs, nil)
	if err != nil {
		t.Error(err)
	}
	for _, w := range in.Warnings() {
		t.Errorf("warning %s", w)
	}
	for _, s := range in.Sets {
		t.Logf("%s: %d files, %d mappings", s.Name, len(s.Files), len(s.Mappings))
	}
}
