package cluster

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestPartIsMadeOnceForEachKey(t *testing.T) {
	m := &machine{cache: t.TempDir()}
	made := 0
	part := func(key string) string {
		dir, err := m.part("thing", key, func(dir string) error {
			made++
			return os.WriteFile(filepath.Join(dir, "content"), []byte(key), 0o644)
		})
		if err != nil {
			t.Fatal(err)
		}
		return dir
	}
	first := part("a")
	if part("a") != first || made != 1 {
		t.Errorf("made %d times for one key", made)
	}
	second := part("b")
	if b, err := os.ReadFile(filepath.Join(second, "content")); err != nil || string(b) != "b" {
		t.Errorf("the part for another key holds %q, %v", b, err)
	}
	if exists(first) {
		t.Error("the part that is no longer of use is still there")
	}
}

func TestPartThatFailedIsNotThere(t *testing.T) {
	m := &machine{cache: t.TempDir()}
	if _, err := m.part("thing", "a", func(string) error { return os.ErrInvalid }); err != os.ErrInvalid {
		t.Fatalf("got error %v", err)
	}
	_, err := m.part("thing", "a", func(dir string) error {
		return os.WriteFile(filepath.Join(dir, "content"), nil, 0o644)
	})
	if err != nil {
		t.Errorf("the next attempt: %v", err)
	}
	if !exists(m.path("parts", "thing-a", "content")) {
		t.Error("the next attempt left nothing")
	}
}

func TestKeyTellsInputsApart(t *testing.T) {
	if keyOf("ab", "c") == keyOf("a", "bc") {
		t.Error("it makes no difference where one input ends and another begins")
	}
}

func TestTektonIsConfigured(t *testing.T) {
	const given = `data:
  set-security-context: "false"
  set-security-context-read-only-root-filesystem: "false"
  "development": false
metadata:
  labels:
    version: "devel"
    pipeline.tekton.dev/release: devel
command:
    - /sbin/tini
    - --
    - /ko-app/resolvers
`
	const want = `data:
  set-security-context: "true"
  set-security-context-read-only-root-filesystem: "true"
  "development": false
metadata:
  labels:
    version: "v1.15.0"
    pipeline.tekton.dev/release: "v1.15.0"
command:
    - /ko-app/resolvers
`
	got, err := configure([]byte(given), slices.Concat(restricted, unreleased))
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
	if _, err := configure([]byte("data: {}\n"), restricted); err == nil || !strings.Contains(err.Error(), "set-security-context") {
		t.Errorf("of a configuration without the flag: %v", err)
	}
}

func TestReleaseIsConfiguredForRestrictedPods(t *testing.T) {
	files := http.NewServeMux()
	files.HandleFunc("/release.yaml", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "data:\n  set-security-context: \"false\"\n  set-security-context-read-only-root-filesystem: \"false\"\n")
	})
	server := httptest.NewServer(files)
	defer server.Close()
	release, err := download(t.Context(), server.URL+"/release.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if release, err = configure(release, restricted); err != nil || strings.Count(string(release), `: "true"`) != 2 {
		t.Errorf("got %s, %v", release, err)
	}
	if _, err := download(t.Context(), server.URL+"/other.yaml"); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("of a release that is not there: %v", err)
	}
}

func TestErrorOfACommandEndsWithItsLastLines(t *testing.T) {
	m := &machine{cache: t.TempDir()}
	err := run(m.command(t.Context(), "sh", "-c", "seq 100; exit 3"))
	if err == nil {
		t.Fatal("no error")
	}
	lines := strings.Split(err.Error(), "\n")
	if got, want := lines[0], "sh -c seq 100; exit 3: exit status 3"; got != want {
		t.Errorf("it begins with %q, not %q", got, want)
	}
	if lines[1] != "86" || lines[len(lines)-1] != "100" {
		t.Errorf("it has the lines from %s to %s", lines[1], lines[len(lines)-1])
	}
}

// A package is compiled once, for the project's own tests, its tools and all programs of the cluster, where what it is made of has the
// same versions in all modules. Of what they require in common, Tekton's projects alone have versions that do not go together.
func TestModulesRequireTheSameVersions(t *testing.T) {
	type module struct{ Path, Version string }
	versions := map[string]map[string][]string{}
	add := func(m module, folder string) {
		if versions[m.Path] == nil {
			versions[m.Path] = map[string][]string{}
		}
		versions[m.Path][m.Version] = append(versions[m.Path][m.Version], folder)
	}
	inCluster := []string{"kubernetes", "coredns", "localpath", "tekton", "triggers", "tkn"}
	for _, folder := range append([]string{"../..", "../../tools", "tools"}, inCluster...) {
		out, err := output(exec.CommandContext(t.Context(), "go", "mod", "edit", "-json", filepath.Join("..", folder, "go.mod")))
		if err != nil {
			t.Fatal(err)
		}
		var file struct {
			Require []module
			Replace []struct{ Old, New module }
		}
		if err := json.Unmarshal(out, &file); err != nil {
			t.Fatal(err)
		}
		replaced := map[string]module{}
		for _, r := range file.Replace {
			replaced[r.Old.Path] = r.New
		}
		for _, m := range file.Require {
			if strings.HasPrefix(m.Path, "k8s.io/") && !slices.Contains(inCluster, folder) {
				continue // a client need not be of the cluster's version
			}
			if folder == "tekton" && strings.HasPrefix(m.Path, "go.opentelemetry.io/otel/sdk") {
				continue // with one whose schema is newer than knative.dev/pkg's, Tekton's programs panic when they start
			}
			add(cmp.Or(replaced[m.Path], m), folder)
		}
	}
	for path, of := range versions {
		if len(of) > 1 && !strings.HasPrefix(path, "knative.dev/") && !strings.HasPrefix(path, "github.com/tektoncd/") {
			t.Errorf("%s has several versions: %v; README.md tells how to have one", path, of)
		}
	}
	if len(versions["k8s.io/client-go"]) == 0 {
		t.Error("no module requires k8s.io/client-go")
	}
}
