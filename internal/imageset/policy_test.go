package imageset

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// policyOf returns a policy with lines below spec, from line 4.
func policyOf(spec string) string {
	return "apiVersion: imagemirror/v1\nkind: Policy\nspec:\n" + spec
}

// The policy beside the sets binds their mappings and settings, however they are named.
func TestPolicy(t *testing.T) {
	write(t, map[string]string{
		"sets/policy.yaml":       policyOf("  sources: [q.io/s]\n  cap: 8\n  sets:\n    two: {sources: [q.io/s, q.io/t]}\n"),
		"sets/OWNERS":            owners,
		"sets/one/OWNERS":        owners,
		"sets/one/mapping_a":     pair("a") + "docker.io/evil/backdoor:1 q.io/d/b q.io/d/c\nq.io/t/x:1 q.io/d/x\n",
		"sets/one/settings.yaml": settingsOf("one", "cap: 9"),
		"sets/two/mapping_b":     pair("e") + "q.io/t/f:* q.io/d/f\nq.io/tt/f:1 q.io/d/g\n",
		"sets/two/settings.yaml": settingsOf("two", "sources: [q.io/s]\n  cap: 8"),
	})
	const advice = ": correct it, or ask the owners of the policy"
	want := []string{
		"sets/one/settings.yaml:6: spec.cap is 9, and sets/policy.yaml:5 allows 8 at most" + advice,
		"sets/one/mapping_a:2: source docker.io/evil/backdoor:1 is outside of what sets/policy.yaml:4 allows (q.io/s)" + advice,
		"sets/one/mapping_a:3: source q.io/t/x:1 is outside of what sets/policy.yaml:4 allows (q.io/s)" + advice,
		"sets/two/mapping_b:2: source q.io/t/f:* is outside of what settings.yaml of the set allows (q.io/s): correct it, or add a prefix to spec.sources",
		"sets/two/mapping_b:3: source q.io/tt/f:1 is outside of what settings.yaml of the set allows (q.io/s): correct it, or add a prefix to spec.sources",
	}
	for _, c := range []struct{ dir, prefix string }{{".", "sets/"}, {"sets", ""}, {"sets/one", "../"}} {
		back, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		t.Chdir(c.dir)
		for _, paths := range [][]string{{"one", "two"}, {"one/mapping_a", "two/mapping_b"}} {
			var named []string
			for _, path := range paths {
				named = append(named, c.prefix+path)
			}
			_, err := Load(named, nil)
			if diff := cmp.Diff(strings.ReplaceAll(strings.Join(want, "\n"), "sets/", c.prefix), fmt.Sprint(err)); diff != "" {
				t.Errorf("in %s, %v (-want +got):\n%s", c.dir, named, diff)
			}
		}
		t.Chdir(back)
	}
}

// start mounts the policy among the files of a set. Both policies bind it, if there are two.
func TestPolicyAmongTheFilesOfASet(t *testing.T) {
	write(t, map[string]string{
		"image-sets/one/policy.yaml": policyOf("  destinations: [q.io/d/a, q.io/d/b]\n"),
		"image-sets/one/mapping_a":   pair("a") + pair("b") + pair("c"),
	})
	const refused = "destination q.io/d/%s:1 is outside of what image-sets/policy.yaml:4 allows (q.io/d/%s): correct it, or ask the owners of the policy"
	_, err := Load([]string{"image-sets/one"}, nil)
	if want := "image-sets/one/mapping_a:3: " + fmt.Sprintf(refused, "c", "a, q.io/d/b"); fmt.Sprint(err) != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
	if err := os.WriteFile("image-sets/policy.yaml", []byte(policyOf("  destinations: [q.io/d/a]\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = Load([]string{"image-sets/one"}, nil)
	want := "image-sets/one/mapping_a:2: " + fmt.Sprintf(refused, "b", "a") + "\nimage-sets/one/mapping_a:3: " + fmt.Sprintf(refused, "c", "a")
	if fmt.Sprint(err) != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

// A mistake in the policy is reported once, and refuses each run.
func TestPolicyRefused(t *testing.T) {
	for name, text := range map[string]string{
		`sets/policy.yaml:4: unknown key "sourcs"`:              policyOf("  sourcs: [q.io]\n"),
		`sets/policy.yaml:2: this is "Settings": write Policy`:  strings.Replace(policyOf(""), "Policy", "Settings", 1),
		`sets/policy.yaml:5: unknown key "schedule"`:            policyOf("  sets:\n    one: {schedule: x}\n"),
		"sets/policy.yaml:1: the file is not YAML":              "a: b: c\n",
		"sets/policy.yaml:1: no such file":                      "link",
		"sets/policy.yaml:1: this link leads out of":            "outside",
		"sets/policy.yaml:1: this is not a regular file: remov": "directory",
	} {
		t.Run(name, func(t *testing.T) {
			write(t, map[string]string{"sets/one/mapping_a": pair("a"), "sets/two/mapping_b": pair("b"), "elsewhere": ""})
			var err error
			switch text {
			case "link":
				err = os.Symlink("nowhere", "sets/policy.yaml")
			case "outside":
				err = os.Symlink("../elsewhere", "sets/policy.yaml")
			case "directory":
				err = os.Mkdir("sets/policy.yaml", 0o755)
			default:
				err = os.WriteFile("sets/policy.yaml", []byte(text), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Load([]string{"sets"}, nil); !strings.HasPrefix(fmt.Sprint(err), name) || strings.Count(err.Error(), "policy.yaml:") != 1 {
				t.Errorf("got %v, want %s", err, name)
			}
		})
	}
}

// Settings and a policy that nothing would read are mistakes in a run, too.
func TestFilesUnderAnotherSpelling(t *testing.T) {
	for _, name := range []string{"settings.yml", "Settings.yaml", "settings.json", "SETTINGS.YAML", "setting.yaml", "Settings.Json"} {
		t.Run(name, func(t *testing.T) {
			write(t, map[string]string{"one/mapping_a": pair("a"), "one/" + name: "x"})
			for _, path := range []string{"one", "one/mapping_a"} {
				_, err := Load([]string{path}, nil)
				if want := "one/" + name + ":1: nothing reads a file of this name: rename it settings.yaml, or remove it"; fmt.Sprint(err) != want {
					t.Errorf("%s: got %v, want %s", path, err, want)
				}
			}
		})
	}
	for _, name := range []string{"policy.yml", "Policy.yaml", "policy.json", "POLICY.yaml"} {
		t.Run(name, func(t *testing.T) {
			write(t, map[string]string{"sets/one/OWNERS": owners, "sets/one/mapping_a": pair("a"), "sets/two/OWNERS": owners, "sets/two/mapping_b": pair("b"), "sets/" + name: "x"})
			for _, path := range []string{"sets", "sets/one", "sets/one/mapping_a"} {
				_, err := Load([]string{path}, nil)
				if want := "sets/" + name + ":1: nothing reads a file of this name: rename it policy.yaml, or remove it"; fmt.Sprint(err) != want {
					t.Errorf("%s: got %v, want %s", path, err, want)
				}
			}
		})
	}
	t.Run("without OWNERS", func(t *testing.T) {
		write(t, map[string]string{"sets/one/mapping_a": pair("a"), "sets/two/mapping_b": pair("b"), "sets/two/settings.yaml": settingsOf("two", "cap: 4"), "sets/policy.yml": ""})
		for _, path := range []string{"sets", "sets/two"} {
			if _, err := Load([]string{path}, nil); err == nil || strings.Count(err.Error(), "sets/policy.yml:1: nothing reads") != 1 {
				t.Errorf("%s: got %v", path, err)
			}
		}
	})
	t.Run("others", func(t *testing.T) {
		write(t, map[string]string{
			"sets/one/OWNERS": owners, "sets/one/mapping_a": pair("a"), "sets/one/settings.yaml~": "x", "sets/one/settings.toml": "x",
			"sets/one/settings/settings.yml": "x", "sets/policy.md": "x", "sets/policies/policy.yml": "x",
			"bare/files/mapping_b": pair("b"), "bare/policy.json": "x", // no tree of sets
		})
		for _, path := range []string{"sets", "bare/files"} {
			if _, err := Load([]string{path}, nil); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	})
}
