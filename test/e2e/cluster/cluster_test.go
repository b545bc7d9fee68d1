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
		t.Error("the outdated part is still there")
	}
}

func TestFailedPartIsNotKept(t *testing.T) {
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

func TestKeyDependsOnWhereInputsEnd(t *testing.T) {
	if keyOf("ab", "c") == keyOf("a", "bc") {
		t.Error("two lists of inputs have the same key")
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
	_, err = configure([]byte("data: {}\n"), restricted)
	if err == nil || !strings.Contains(err.Error(), "set-security-context") {
		t.Errorf("a configuration without the flag: got error %v", err)
	}
}

func TestPublishedReleaseIsConfigured(t *testing.T) {
	files := http.NewServeMux()
	files.HandleFunc("/release.yaml", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "data:\n  set-security-context: \"false\"\n"+
			"  set-security-context-read-only-root-filesystem: \"false\"\n")
	})
	files.HandleFunc("/more.yaml", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "kind: More\n")
	})
	server := httptest.NewServer(files)
	defer server.Close()
	m := &machine{cache: t.TempDir(), progress: io.Discard}
	if err := os.Mkdir(m.path("run"), 0o755); err != nil {
		t.Fatal(err)
	}
	p := project{
		dir: "some", released: restricted,
		published: []string{server.URL + "/release.yaml", server.URL + "/more.yaml"},
	}
	file, err := m.download(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	const want = `data:
  set-security-context: "true"
  set-security-context-read-only-root-filesystem: "true"

---
kind: More
`
	if got, err := os.ReadFile(file); err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
	p.published = []string{server.URL + "/other.yaml"}
	if _, err := m.download(t.Context(), p); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("a release that is not there: got error %v", err)
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

// A package is compiled once for the project's tests, its tools and all programs of the cluster if
// the modules require the same versions. Only sigstore's and Tekton's projects require versions of
// each other that do not go together.
func TestModulesRequireTheSameVersions(t *testing.T) {
	versions := map[string]map[string][]string{} // by module and version: who requires it
	// What sigstore-go needs is newer than what Tekton's releases are built with.
	ofSigstore := []string{
		"github.com/sigstore/sigstore", "github.com/sigstore/protobuf-specs", "github.com/secure-systems-lab/go-securesystemslib",
		"github.com/theupdateframework/go-tuf/v2", "golang.org/x/exp",
	}
	inCluster := []string{"kubernetes", "coredns", "localpath", "tekton", "triggers", "tkn"}
	others := []string{"../../..", "../../../tools", ".", "tools"}
	for _, dir := range slices.Concat(others, inCluster) {
		for _, r := range requirements(t, dir) {
			if strings.HasPrefix(r.Path, "k8s.io/") && slices.Contains(others, dir) {
				continue // a client need not have the cluster's version
			}
			if dir == "../../.." && slices.Contains(ofSigstore, r.Path) {
				continue
			}
			if dir == "tekton" && strings.HasPrefix(r.Path, "go.opentelemetry.io/otel/sdk") {
				continue // with a newer schema than knative.dev/pkg's, Tekton panics at its start
			}
			if versions[r.Path] == nil {
				versions[r.Path] = map[string][]string{}
			}
			versions[r.Path][r.Version] = append(versions[r.Path][r.Version], dir)
		}
	}
	for path, of := range versions {
		tekton := strings.HasPrefix(path, "knative.dev/") ||
			strings.HasPrefix(path, "github.com/tektoncd/")
		if len(of) > 1 && !tekton {
			t.Errorf("%s has several versions: %v; see README.md, To another version", path, of)
		}
	}
	if len(versions["k8s.io/client-go"]) == 0 {
		t.Error("no module requires k8s.io/client-go")
	}
}

type requirement struct{ Path, Version string }

// requirements returns the modules that the go.mod in a directory requires, with its replacements.
func requirements(t *testing.T, dir string) []requirement {
	t.Helper()
	file := filepath.Join(dir, "go.mod")
	out, err := output(exec.CommandContext(t.Context(), "go", "mod", "edit", "-json", file))
	if err != nil {
		t.Fatal(err)
	}
	var parsed struct {
		Require []requirement
		Replace []struct{ Old, New requirement }
	}
	if err := json.Unmarshal(out, &parsed); err != nil {
		t.Fatal(err)
	}
	replaced := map[string]requirement{}
	for _, r := range parsed.Replace {
		replaced[r.Old.Path] = r.New
	}
	for i, r := range parsed.Require {
		parsed.Require[i] = cmp.Or(replaced[r.Path], r)
	}
	return parsed.Require
}
