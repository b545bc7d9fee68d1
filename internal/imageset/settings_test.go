package imageset

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// settingsOf returns a settings file with one key below spec, on line 6.
func settingsOf(set, key string) string {
	return "apiVersion: imagemirror/v1\nkind: Settings\nmetadata:\n  name: " + set + "\nspec:\n  " + key + "\n"
}

func TestSettings(t *testing.T) {
	write(t, map[string]string{
		"one/OWNERS": owners, "one/mapping_a": pair("a"), "one/settings.yaml": settingsOf("one", "cap: 5"),
		"two/OWNERS": owners, "two/mapping_b": pair("b"),
	})
	for _, paths := range [][]string{{"one", "two"}, {"one/mapping_a", "two/mapping_b"}} {
		in, err := Load(paths, nil)
		if err != nil {
			t.Fatal(err)
		}
		if one, two := in.Sets[0].Settings.Cap, in.Sets[1].Settings.Cap; one != 5 || two != 0 {
			t.Errorf("%v: got the caps %d and %d, want 5 and 0", paths, one, two)
		}
	}
}

func TestDestinationsOutside(t *testing.T) {
	write(t, map[string]string{
		"one/OWNERS": owners, "one/settings.yaml": settingsOf("one", "destinations: [q.io/d, q.io/e/x, hub]"),
		"one/mapping_a": "q.io/s/a:1 q.io/d/a q.io/dd/a q.io/e/x:1\nq.io/s/b:* q.io/e/xy\n",
		"one/mapping_b": "q.io/s/c:1 hub/c docker.io/hub/d docker.io/hubble/c\n",
		"two/OWNERS":    owners, "two/mapping_c": "q.io/s/a:1 q.io/dd/b\n",
	})
	_, err := Load([]string{"one", "two"}, nil)
	const advice = " is outside of what settings.yaml of the set allows (q.io/d, q.io/e/x, docker.io/hub): correct it, or add a prefix to spec.destinations"
	want := []string{
		"one/mapping_a:1: destination q.io/dd/a:1" + advice,
		"one/mapping_a:2: destination q.io/e/xy" + advice,
		"one/mapping_b:1: destination docker.io/hubble/c:1" + advice,
	}
	if diff := cmp.Diff(want, strings.Split(fmt.Sprint(err), "\n")); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}

func TestSettingsRefused(t *testing.T) {
	write(t, map[string]string{
		"one/OWNERS": owners, "one/mapping_a": pair("a"), "one/settings.yaml": settingsOf("two", "cap: 5"),
		"two/OWNERS": owners, "two/mapping_b": "x\n", "two/settings.yaml": settingsOf("two", "caps: 5"),
		"dir/OWNERS": owners, "dir/mapping_c": pair("c"),
		"lnk/OWNERS": owners, "lnk/mapping_d": pair("d"),
	})
	if err := os.Mkdir("dir/settings.yaml", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", "lnk/settings.yaml"); err != nil {
		t.Fatal(err)
	}
	_, err := Load([]string{"one", "two", "dir", "lnk"}, nil)
	got := strings.Split(fmt.Sprint(err), "\n")
	want := []string{
		`one/settings.yaml:4: metadata.name is "two", and the set is "one": write the name of the directory`,
		`two/settings.yaml:6: unknown key "caps": write schedule, `,
		"two/mapping_b:1: source ",
		"two/mapping_b:1: source ",
		"dir/settings.yaml:1: this is not a regular file",
		"lnk/settings.yaml:1: no such file or directory",
	}
	if len(got) != len(want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	for i := range got {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("got %q, want it to begin with %q", got[i], want[i])
		}
	}
}
