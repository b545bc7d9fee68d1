package wire

import (
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"imagemirror/internal/execute"
	"imagemirror/internal/imageset"
	"imagemirror/internal/mirror"
	"imagemirror/internal/plan"
	"imagemirror/internal/progress"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// runSets copies the images of several sets, each with its lines, as imagemirror run does.
func runSets(t *testing.T, sets map[string][]string) run {
	t.Helper()
	root := t.TempDir()
	for name, lines := range sets {
		dir := filepath.Join(root, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for file, content := range map[string]string{"OWNERS": "approvers: [" + name + "]\n", "mapping_" + name: strings.Join(lines, "\n")} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	input, err := imageset.Load([]string{root}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := client(t, settings())
	p, err := plan.Make(t.Context(), plan.Options{Client: c}, input.Sets)
	if err != nil {
		t.Fatal(err)
	}
	work, err := execute.Gather([]*stream.Content{&p.Content})
	if err != nil {
		t.Fatal(err)
	}
	images, size := work.Work()
	display := progress.New(os.Stderr, slog.New(slog.DiscardHandler), images, size)
	defer display.Close()
	results := work.Run(t.Context(), mirror.Options{Client: c, Observer: display, Grace: time.Second})
	return run{plan: &p.Content, results: resultsOf(t, results)}
}

// Whoever knows a digest does not get its content from the source of another set: neither a layer
// nor a manifest, neither by reading it nor by a mount.
func TestSetsShareNoSources(t *testing.T) {
	t.Parallel()
	secret := registrytest.NewLayer("secret", 300_000)
	child := registrytest.NewImage(registrytest.OCI, "child", "amd64", secret)
	digest, err := registrytest.DigestOf(child)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		kind, path string // what the thief's repository does not have
		two        bool   // the destinations are on different registries
	}{
		"a layer":                         {"GET blob", "/ci/thief/blobs/", false},
		"a layer, for another registry":   {"GET blob", "/ci/thief/blobs/", true},
		"a manifest":                      {"GET manifest", "/ci/thief/manifests/" + digest, false},
		"a manifest, of another registry": {"GET manifest", "/ci/thief/manifests/" + digest, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			to := p
			if c.two {
				to.destination = newRegistry(t, nil)
			}
			push(t, p.source, "ci/owner:v1", registrytest.NewIndex(registrytest.OCI, child))
			push(t, p.source, "ci/thief:v1", registrytest.NewIndex(registrytest.OCI, child))
			p.source.Inject(registrytest.FaultRule{Kind: c.kind, Path: regexp.MustCompile(c.path), Fault: registrytest.Status(http.StatusNotFound, "")})
			// The thief comes late, when the owner's is there.
			p.source.Inject(registrytest.FaultRule{Path: regexp.MustCompile("/ci/thief/"), Fault: registrytest.Delay(100 * time.Millisecond)})
			got := runSets(t, map[string][]string{"owner": {line(p, "ci/owner:v1", "m/owner:v1")}, "thief": {line(to, "ci/thief:v1", "m/thief:v1")}})
			got.are(t, p.destination, map[string]string{"m/owner:v1": stream.Copied})
			got.are(t, to.destination, map[string]string{"m/thief:v1": stream.Failed})
			for _, r := range to.destination.Log() {
				if r.Repo == "m/thief" && strings.Contains(r.Query, "owner") {
					t.Errorf("a blob was to be mounted: %s %s?%s", r.Method, r.Path, r.Query)
				}
			}
		})
	}
}

// Within a set, sources are shared.
func TestMappingsOfASetShareSources(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	layer := registrytest.NewLayer("shared", 300_000)
	push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", layer))
	push(t, p.source, "ci/b:v1", registrytest.NewImage(registrytest.OCI, "b", "amd64", layer))
	p.source.Reset()
	runSets(t, map[string][]string{"one": {line(p, "ci/a:v1", "m/a:v1"), line(p, "ci/b:v1", "m/b:v1")}}).
		are(t, p.destination, map[string]string{"m/a:v1": stream.Copied, "m/b:v1": stream.Copied})
	if n := p.source.Stats().Requests["GET blob"]; n != 3 {
		t.Errorf("the source got %d requests for blobs, want one for the shared layer and one for each config", n)
	}
}
