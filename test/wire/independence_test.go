package wire

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

func TestMissingChildFailsItsOwnImageOnly(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	child := registrytest.NewImage(registrytest.OCI, "child", "amd64", registrytest.NewLayer("child", 1000))
	digest, err := registrytest.DigestOf(child)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ci/a:v1", "ci/b:v1"} {
		push(t, p.source, name, registrytest.NewIndex(registrytest.OCI, child))
	}
	// The other image waits for the slow answer.
	p.source.Inject(registrytest.FaultRule{Path: regexp.MustCompile("/ci/a/manifests/" + digest), Fault: func(next http.Handler) http.Handler {
		return registrytest.Delay(300 * time.Millisecond)(registrytest.Status(http.StatusNotFound, "")(next))
	}})
	run := mirrorLines(t, line(p, "ci/a:v1", "m/a:v1"), line(p, "ci/b:v1", "m/b:v1"))
	if got := run.results[p.destination.Host+"/m/b:v1"]; got.Status != stream.Copied {
		t.Errorf("the image whose repository has all of it is %s: %+v", got.Status, got.Error)
	}
	wantArrived(t, p, "ci/b:v1", "m/b:v1")
}

func TestRefusedBlobFailsItsOwnRepositoryOnly(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusInternalServerError, http.StatusRequestEntityTooLarge, http.StatusInsufficientStorage} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 300_000)))
			p.destination.Inject(registrytest.FaultRule{Kind: "PUT upload", Path: regexp.MustCompile("/m/a/"), Fault: afterAll(registrytest.Status(status, "not here"))})
			config := settings()
			config.Retries = 2
			run := mirrorWith(t, config, line(p, "ci/a:v1", "m/a:v1", "m/b:v1"))
			if got := run.results[p.destination.Host+"/m/a:v1"]; got.Status != stream.Failed || got.Error.Status != status || !strings.Contains(got.Error.Message, "m/a") {
				t.Errorf("m/a is %s: %+v", got.Status, got.Error)
			}
			if got := run.results[p.destination.Host+"/m/b:v1"]; got.Status != stream.Copied {
				t.Errorf("m/b is %s: %+v", got.Status, got.Error)
			}
		})
	}
}

// afterAll reads the request's body before it answers. A client that sends much would not
// always see an earlier answer.
func afterAll(f registrytest.Fault) registrytest.Fault {
	return func(next http.Handler) http.Handler {
		answer := f(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			answer.ServeHTTP(w, r)
		})
	}
}

// A tag that the registry refuses does not fail the same manifest's other tags.
func TestRefusedTagFailsNoOtherTag(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	digest := push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64"))
	p.destination.Inject(registrytest.FaultRule{Kind: "PUT manifest", Path: regexp.MustCompile("/manifests/a$"), Fault: registrytest.Status(http.StatusConflict, "immutable")})
	run := mirrorLines(t, line(p, "ci/a@"+digest, "m/a:a", "m/a:b", "m/a"))
	run.are(t, p.destination, map[string]string{"m/a:a": stream.Failed, "m/a:b": stream.Copied, "m/a": stream.Copied})
}

// Nor does it fail an index that leads to the manifest, which is pushed by its digest.
func TestRefusedTagFailsNoIndexAboveIt(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	child := registrytest.NewImage(registrytest.OCI, "child", "amd64", registrytest.NewLayer("child", 1000))
	push(t, p.source, "ci/a:v1-amd64", child)
	push(t, p.source, "ci/a:v1", registrytest.NewIndex(registrytest.OCI, child))
	p.destination.Inject(registrytest.FaultRule{Kind: "PUT manifest", Path: regexp.MustCompile("/v1-amd64$"), Fault: registrytest.Status(http.StatusConflict, "immutable")})
	run := mirrorLines(t, line(p, "ci/a:v1-amd64", "m/a:v1-amd64"), line(p, "ci/a:v1", "m/a:v1"))
	run.are(t, p.destination, map[string]string{"m/a:v1-amd64": stream.Failed, "m/a:v1": stream.Copied})
	wantArrived(t, p, "ci/a:v1", "m/a:v1")
}

// A refusal after the repository accepted a push fails that image only.
func TestLaterRefusalFailsOneImage(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	var lines []string
	for i := range 10 {
		name := fmt.Sprintf("ci/a:v%d", i)
		push(t, p.source, name, registrytest.NewImage(registrytest.OCI, name, "amd64", registrytest.NewLayer(name, 2000)))
		lines = append(lines, line(p, name, fmt.Sprintf("m/a:v%d", i)))
	}
	p.destination.Inject(registrytest.FaultRule{Kind: "POST mount", After: 6, Times: 1, Fault: registrytest.Status(http.StatusForbidden, "")},
		registrytest.FaultRule{Kind: "POST upload", Times: 1, Fault: registrytest.Status(http.StatusForbidden, "by the front server")})
	config := settings()
	config.Concurrency = 1
	if failed := mirrorWith(t, config, lines...).failed(); failed != 1 {
		t.Errorf("%d images failed, want one", failed)
	}
}

// If the repository exists already, a refusal of the first push is not final either.
func TestFirstRefusalOfAKnownRepositoryFailsOneImage(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	there := registrytest.NewImage(registrytest.OCI, "v0", "amd64")
	push(t, p.source, "ci/a:v0", there)
	push(t, p.destination, "m/a:v0", there)
	lines := []string{line(p, "ci/a:v0", "m/a:v0")}
	for i := range 20 {
		name := fmt.Sprintf("ci/a:n%d", i)
		push(t, p.source, name, registrytest.NewImage(registrytest.OCI, name, "amd64", registrytest.NewLayer(name, 2000)))
		lines = append(lines, line(p, name, fmt.Sprintf("m/a:n%d", i)))
	}
	refused := registrytest.Status(http.StatusForbidden, "by the front server")
	p.destination.Inject(
		registrytest.FaultRule{Kind: "POST mount", Times: 1, Fault: refused},
		registrytest.FaultRule{Kind: "POST upload", Times: 1, Fault: refused},
		registrytest.FaultRule{Kind: "POST mount", Fault: registrytest.Delay(50 * time.Millisecond)},
	)
	config := settings()
	config.Concurrency = 4
	if failed := mirrorWith(t, config, lines...).failed(); failed > 1 {
		t.Errorf("%d images failed, want one at most", failed)
	}
}

func TestWrongSizeFailsItsOwnImageOnly(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	img := registrytest.NewImage(registrytest.OCI, "good", "amd64", registrytest.NewLayer("layer", 1000))
	push(t, p.source, "ci/good:v1", img)
	push(t, p.source, "ci/liar:v0", img)
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	m = m.DeepCopy()
	m.Layers[0].Size++
	push(t, p.source, "ci/liar:v1", registrytest.BareManifest{Type: m.MediaType, Content: marshal(t, m)})
	config := settings()
	config.Retries = 2
	run := mirrorWith(t, config, line(p, "ci/liar:v1", "m/liar:v1"), line(p, "ci/good:v1", "m/good:v1"))
	run.are(t, p.destination, map[string]string{"m/liar:v1": stream.Failed, "m/good:v1": stream.Copied})
}

// One registry's media type for a manifest without a mediaType does not apply to another's.
func TestMediaTypeOfOneRegistryIsNotAnothers(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	img := registrytest.NewImage(registrytest.OCI, "image", "amd64", registrytest.NewLayer("layer", 1000))
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	m = m.DeepCopy()
	m.MediaType = ""
	for _, name := range []string{"ci/a", "ci/b"} {
		push(t, p.source, name+":v0", img)
		push(t, p.source, name+":v1", registrytest.BareManifest{Type: types.OCIManifestSchema1, Content: marshal(t, m)})
	}
	p.source.Inject(
		registrytest.FaultRule{Kind: "GET manifest", Path: regexp.MustCompile("/ci/a/"), Fault: registrytest.SetHeader("Content-Type", string(types.DockerManifestSchema2))},
		registrytest.FaultRule{Kind: "GET manifest", Path: regexp.MustCompile("/ci/b/"), Fault: registrytest.Delay(200 * time.Millisecond)},
	)
	mirrorLines(t, line(p, "ci/a:v1", "m/a:v1"), line(p, "ci/b:v1", "m/b:v1")).allAre(t, stream.Copied)
}

// Two names that registries.conf maps to one tag are one destination.
func TestTwoNamesOfOneTagAreRefused(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	for _, name := range []string{"ci/a:v1", "ci/b:v1"} {
		push(t, p.source, name, registrytest.NewImage(registrytest.OCI, name, "amd64"))
	}
	config := settings()
	config.RegistriesConf = registriesConf(t, fmt.Sprintf("[[registry]]\nprefix = \"x.example\"\nlocation = %[1]q\n[[registry]]\nprefix = \"y.example\"\nlocation = %[1]q\n", p.destination.Host))
	run := mirrorWith(t, config, p.source.Host+"/ci/a:v1 x.example/m:v1", p.source.Host+"/ci/b:v1 y.example/m:v1")
	run.allAre(t, stream.Failed)
	for name, other := range map[string]string{"x.example/m:v1": "y.example/m:v1", "y.example/m:v1": "x.example/m:v1"} {
		if got := run.results[name]; !strings.Contains(got.Error.Message, other) || got.Error.Advice != "remove one of the two" {
			t.Errorf("%s failed with %q, want it to name %s", name, got.Error.Message, other)
		}
	}
}

// If the source's mirror has no blobs, downloads continue at the source itself, each when it gets a
// slot there.
func TestBlobsMissingFromAMirrorComeFromTheSource(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	nearby := remoteRegistry{registrytest.StartProxy(p.source.backend, registrytest.ProxyOptions{}), p.source.backend}
	defer nearby.Close()
	nearby.Inject(registrytest.FaultRule{Kind: "GET blob", Fault: registrytest.Status(http.StatusNotFound, "")})
	var lines []string
	for i := range 12 {
		name := fmt.Sprintf("ci/a%d:v1", i)
		push(t, p.source, name, registrytest.NewImage(registrytest.OCI, name, "amd64", registrytest.NewLayer(name, 400_000)))
		lines = append(lines, line(p, name, strings.Replace(name, "ci", "m", 1)))
	}
	p.source.Inject(registrytest.FaultRule{Kind: "GET blob", Fault: registrytest.Delay(50 * time.Millisecond)})
	config := settings()
	config.Concurrency, config.Retries = 2, 1
	config.RegistriesConf = registriesConf(t, fmt.Sprintf("[[registry]]\nlocation = %q\n[[registry.mirror]]\nlocation = %q\n", p.source.Host, nearby.Host))
	mirrorWith(t, config, lines...).allAre(t, stream.Copied)
}

func registriesConf(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "registries.conf")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// If registries.conf allows plain HTTP for a part of a registry, the rest still needs TLS,
// whichever is asked first.
func TestInsecureHoldsForItsPrefixOnly(t *testing.T) {
	t.Parallel()
	r := registrytest.Distribution(t, registrytest.DistributionOptions{})
	p := pair{
		remoteRegistry{registrytest.NewProxy(t, r, registrytest.ProxyOptions{TLS: true}), r.Host},
		newRegistry(t, nil),
	}
	for _, name := range []string{"lab/a:v1", "ci/a:v1"} {
		push(t, p.source, name, registrytest.NewImage(registrytest.OCI, "a", "amd64"))
	}
	config := settings()
	config.Retries = 1
	config.RegistriesConf = registriesConf(t, fmt.Sprintf("[[registry]]\nlocation = \"%s/lab\"\ninsecure = true\n", p.source.Host))
	for _, names := range [][]string{{"lab/a:v1", "ci/a:v1"}, {"ci/a:v1", "lab/a:v1"}} {
		var lines []string
		for _, name := range names {
			lines = append(lines, line(p, name, "m/"+name))
		}
		run := mirrorWith(t, config, lines...)
		if got := run.results[p.destination.Host+"/m/lab/a:v1"]; got.Status == stream.Failed {
			t.Errorf("%v: the insecure registry failed: %+v", names, got.Error)
		}
		if got := run.results[p.destination.Host+"/m/ci/a:v1"]; got.Status != stream.Failed || !strings.Contains(got.Error.Message, "certificate") {
			t.Errorf("%v: the secure registry is %s: %+v", names, got.Status, got.Error)
		}
	}
}

// Each index is walked once, however many others lead to it, even if no job needs it any more.
// The last child of the first image contradicts the others after all of them are known.
func TestDenselyLinkedIndexesAreWalkedOnce(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	const width, depth = 20, 7
	leaf := registrytest.NewImage(registrytest.OCI, "leaf", "amd64", registrytest.NewLayer("leaf", 1000))
	below := []mutate.Appendable{leaf}
	for level := range depth {
		var here []mutate.Appendable
		for i := range width {
			index := registrytest.NewIndex(registrytest.OCI, below...)
			here = append(here, mutate.Annotations(index, map[string]string{"at": fmt.Sprint(level, " ", i)}).(mutate.Appendable))
		}
		below = here
	}
	good := registrytest.NewIndex(registrytest.OCI, below...)
	push(t, p.source, "ci/a:good", good)
	push(t, p.source, "ci/a:bad", withContradiction(t, p, good, leaf))
	run := mirrorLines(t, line(p, "ci/a:bad", "m/a:bad"), line(p, "ci/a:good", "m/b:good"))
	if got := run.results[p.destination.Host+"/m/a:bad"]; got.Status != stream.Failed || !strings.Contains(got.Error.Message, "sizes") {
		t.Errorf("the image that contradicts itself is %s: %+v", got.Status, got.Error)
	}
	if got := run.results[p.destination.Host+"/m/b:good"]; got.Status != stream.Copied {
		t.Errorf("the good image is %s: %+v", got.Status, got.Error)
	}
	if n := p.destination.Stats().Requests["PUT manifest"]; n != 2+width*depth {
		t.Errorf("%d manifests were pushed, want each of %d", n, 2+width*depth)
	}
}

// withContradiction returns the index with one more child, which states another size for the
// image's configuration.
func withContradiction(t *testing.T, p pair, index v1.ImageIndex, img v1.Image) registrytest.BareManifest {
	t.Helper()
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	m = m.DeepCopy()
	m.Config.Size++
	liar := registrytest.BareManifest{Type: types.OCIManifestSchema1, Content: marshal(t, m)}
	digest := push(t, p.source, "ci/a:liar", liar)
	hash, err := v1.NewHash(digest)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	whole = whole.DeepCopy()
	whole.Manifests = append(whole.Manifests, v1.Descriptor{MediaType: liar.Type, Size: int64(len(liar.Content)), Digest: hash})
	return registrytest.BareManifest{Type: types.OCIImageIndex, Content: marshal(t, whole)}
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
