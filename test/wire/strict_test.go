package wire

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"imagemirror/internal/digest"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// newLaxRegistry starts a registry that stores any manifest, and returns it as both sides.
func newLaxRegistry(t *testing.T) (remoteRegistry, pair) {
	t.Helper()
	r := registrytest.InProcess(t)
	one := remoteRegistry{registrytest.NewProxy(t, r, registrytest.ProxyOptions{}), r.Host}
	return one, pair{one, one}
}

// refers returns a descriptor of content.
func refers(mediaType types.MediaType, content []byte) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, mediaType, digest.Of(content), len(content))
}

// An ambiguous manifest fails its own image, with the same words in every run.
func TestAmbiguousManifestsAreRefusedByName(t *testing.T) {
	t.Parallel()
	one, p := newLaxRegistry(t)
	image := registrytest.NewImage(registrytest.OCI, "good", "amd64", registrytest.NewLayer("good", 1000))
	raw, err := image.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	m, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	layer := m.Layers[0].Digest.String()
	config := fmt.Sprintf(`"config":{"mediaType":"x/y","digest":%q,"size":%d}`, m.Config.Digest, m.Config.Size)
	layers := func(list string) string {
		return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,%s,"layers":[%s]}`, types.OCIManifestSchema1, config, list)
	}
	index := func(list string) string {
		return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, types.OCIImageIndex, list)
	}
	child := refers(types.OCIManifestSchema1, raw)
	lying := index(strings.Replace(child, `"size":`, `"size":1`, 1))
	lines := []string{line(p, "ci/good:v1", "m/good:v1")}
	says := map[string]string{}
	push(t, one, "ci/good:v1", image)
	for i, c := range []struct {
		kind          types.MediaType
		content, says string
	}{
		{types.OCIManifestSchema1, `{` + config + `,"layers":[],"layers":[` + refers("x/y", nil) + `]}`, `has the key "layers" twice`},
		{types.OCIManifestSchema1, `{` + config + `,"layers":[],"Layers":[` + refers("x/y", nil) + `]}`, `has the key "Layers", which some programs read as "layers"`},
		{types.OCIManifestSchema1, layers(`{"digest":"` + layer + `","size":1000,"size":1000}`), `entry 1 of the manifest's layers has the key "size" twice`},
		{types.OCIManifestSchema1, layers(`{"digest":"` + layer + `","size":0}`), "the size 0: the digest of empty content is"},
		{types.OCIManifestSchema1, layers(`{"digest":"` + layer + `"}`), "gives " + layer + " no size"},
		{types.OCIManifestSchema1, layers(`{"digest":"` + layer + `","size":1000.0}`), "the size 1000.0, which is not a whole number"},
		{types.OCIManifestSchema1, layers(`{"digest":"` + layer + `","size":1000},{"digest":"` + layer + `","size":999}`), "the sizes 1000 and 999"},
		{types.OCIManifestSchema1, layers(`{"digest":"` + layer + `","size":1000},{"mediaType":"` + string(types.DockerForeignLayer) + `","digest":"` + layer + `","size":1000,"urls":["https://x"]}`), "as a foreign layer and as one to be copied"},
		{types.OCIManifestSchema1, layers(`{"digest":"sha512:` + strings.Repeat("ab", 64) + `","size":1000}`), "only sha256 digests can be copied"},
		{types.DockerManifestSchema2, layers(""), "but the registry sent"},
		{types.OCIImageIndex, strings.Replace(child, string(types.OCIManifestSchema1), string(types.DockerManifestSchema2), 1), "the media type"},
		{types.OCIImageIndex, index(strings.Replace(child, string(types.OCIManifestSchema1), string(types.DockerManifestSchema2), 1)), "the media type"},
		{types.OCIImageIndex, lying, fmt.Sprintf("but it has %d bytes", len(raw))},
		{types.OCIImageIndex, index(child + "," + refers(types.OCIImageIndex, []byte(lying))), "the index " + digest.Of([]byte(lying)) + " gives"},
		{types.OCIImageIndex, index(refers("", raw)), "has no media type"},
		{types.OCIImageIndex, index(child + "," + refers("x/y", raw)), "as a manifest and as a blob"},
		{types.OCIImageIndex, `{"config":{},"manifests":[]}`, "fields of both an image and an index"},
	} {
		name := fmt.Sprintf("ci/%02d", i)
		push(t, one, name+":good", image)
		if strings.Contains(c.content, digest.Of([]byte(lying))) {
			push(t, one, name+":lying", registrytest.BareManifest{Type: types.OCIImageIndex, Content: []byte(lying)})
		}
		push(t, one, name+":v1", registrytest.BareManifest{Type: c.kind, Content: []byte(c.content)})
		lines = append(lines, line(p, name+":v1", strings.Replace(name, "ci", "m", 1)+":v1"))
		says[one.Host+strings.Replace(name, "ci", "/m", 1)+":v1"] = c.says
	}
	first := mirrorLines(t, lines...)
	if got := first.results[one.Host+"/m/good:v1"]; got.Status != stream.Copied {
		t.Errorf("the image beside them is %s: %+v", got.Status, got.Error)
	}
	second := mirrorLines(t, lines...)
	for name, want := range says {
		got := first.results[name]
		if got.Status != stream.Failed || !strings.Contains(got.Error.Message, want) {
			t.Errorf("%s is %s: %+v, want failed with %q", name, got.Status, got.Error, want)
			continue
		}
		wantBlame(t, got, "source")
		if again := second.results[name]; again.Error == nil || *again.Error != *got.Error {
			t.Errorf("%s failed with %+v, and then with %+v", name, got.Error, again.Error)
		}
	}
}

// wantBlame fails the test unless a result tells which side is at fault and what to do.
func wantBlame(t *testing.T, r stream.Result, side string) {
	t.Helper()
	if r.Error == nil || r.Error.Side != side || r.Error.Advice == "" {
		t.Errorf("mapping %d failed with %+v, want the side %q, and advice", r.ID, r.Error, side)
	}
}

// The digest of a signed manifest in schema 1 is that of its payload, without the signatures.
func TestSignedSchema1IsRefusedByNameAtOnce(t *testing.T) {
	t.Parallel()
	one, p := newLaxRegistry(t)
	image := registrytest.NewImage(registrytest.Docker, "older", "amd64", registrytest.NewLayer("older", 1000))
	old := registrytest.Schema1("old", registrytest.NewLayer("old", 1000))
	for _, name := range []string{"ci/tag:v1", "ci/moved:v1", "ci/child:old"} {
		push(t, one, name, old)
	}
	list := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, types.DockerManifestList, refers(types.DockerManifestSchema1Signed, old.Content))
	push(t, one, "ci/child:v1", registrytest.BareManifest{Type: types.DockerManifestList, Content: []byte(list)})
	mistyped := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, types.DockerManifestList, refers(types.DockerManifestSchema2, old.Content))
	push(t, one, "ci/mistyped:old", old)
	push(t, one, "ci/mistyped:v1", registrytest.BareManifest{Type: types.DockerManifestList, Content: []byte(mistyped)})
	push(t, one, "m/moved:v1", image)
	payload := digest.Of([]byte("the payload"))
	// Where a tag exists at the destination, the source's HEAD gives the payload's digest.
	one.Inject(registrytest.FaultRule{Kind: "GET manifest", Path: regexp.MustCompile("/ci/moved/manifests/" + payload), Fault: registrytest.Status(200, string(old.Content), "Content-Type", string(old.Type))})
	for _, kind := range []string{"HEAD manifest", "GET manifest"} {
		one.Inject(registrytest.FaultRule{Kind: kind, Path: regexp.MustCompile("/ci/(tag|moved)/"), Fault: registrytest.SetHeader("Docker-Content-Digest", payload)})
	}
	one.Reset()
	run := mirrorLines(t,
		line(p, "ci/tag:v1", "m/tag:v1"), line(p, "ci/moved:v1", "m/moved:v1"),
		line(p, "ci/child:v1", "m/child:v1"), line(p, "ci/mistyped:v1", "m/mistyped:v1"))
	for name, got := range run.results {
		if got.Status != stream.Failed || !strings.Contains(got.Error.Message, "Docker schema 1") {
			t.Errorf("%s is %s: %+v, want failed for its schema 1", name, got.Status, got.Error)
		}
		wantBlame(t, got, "source")
	}
	wantRequests(t, one, map[string]int{"HEAD manifest": 5, "GET manifest": 5, "GET tags": 2})
}

func TestOddManifestsArrive(t *testing.T) {
	t.Parallel()
	one, p := newLaxRegistry(t)
	image := registrytest.NewImage(registrytest.OCI, "image", "amd64", registrytest.NewLayer("layer", 1000))
	m, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	descriptor := func(d v1.Descriptor) string {
		return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, d.MediaType, d.Digest, d.Size)
	}
	config, layer := descriptor(m.Config), descriptor(m.Layers[0])
	const oras = types.MediaType("application/vnd.cncf.oras.artifact.manifest.v1+json")
	artifact := []byte(`{"mediaType":"` + string(oras) + `","artifactType":"x/y","blobs":[` + layer + `]}`)
	for name, c := range map[string]registrytest.BareManifest{
		"nulls":       {Type: types.OCIManifestSchema1, Content: []byte(`{"schemaVersion":2,"config":` + config + `,"layers":[` + layer + `],"manifests":null,"fsLayers":null,"subject":null}`)},
		"annotations": {Type: types.OCIManifestSchema1, Content: []byte(`{"schemaVersion":2,"config":` + config + `,"layers":[` + layer + `],"annotations":{"a":"1","A":"2","a":"3"}}`)},
		"extension":   {Type: types.OCIManifestSchema1, Content: []byte(`{"schemaVersion":2,"config":` + config + `,"x":{"layers":[]},"x":1,"layers":[` + layer + `]}`)},
		"oras":        {Type: oras, Content: artifact},
		"oras-index":  {Type: types.OCIImageIndex, Content: []byte(`{"schemaVersion":2,"mediaType":"` + string(types.OCIImageIndex) + `","manifests":[` + refers(oras, artifact) + `]}`)},
		"escapes":     {Type: types.OCIManifestSchema1, Content: []byte("\r\n{\"sch\\u0065maVersion\" : 2, \"config\": " + config + ",\t\"layers\":[ " + layer + " ] }\n\n")},
	} {
		push(t, one, "ci/"+name+":image", image)
		push(t, one, "ci/"+name+":artifact", registrytest.BareManifest{Type: oras, Content: artifact})
		push(t, one, "ci/"+name+":v1", c)
		mirrorLines(t, line(p, "ci/"+name+":v1", "m/"+name+":v1")).allAre(t, stream.Copied)
		wantArrived(t, p, "ci/"+name+":v1", "m/"+name+":v1")
	}
}

// All that can fail a mapping before it is copied names a side, and what to do.
func TestErrorsOfAPlanHaveASideAndAdvice(t *testing.T) {
	t.Parallel()
	one, p := newLaxRegistry(t)
	image := registrytest.NewImage(registrytest.OCI, "image", "amd64")
	for _, name := range []string{"ci/a:v1", "ci/b:v1"} {
		push(t, one, name, image)
	}
	var nested v1.ImageIndex = registrytest.NewIndex(registrytest.OCI, image)
	for range 10 {
		nested = registrytest.NewIndex(registrytest.OCI, nested)
	}
	push(t, one, "ci/nested:v1", nested)
	config := settings()
	config.Retries = 1
	config.RegistriesConf = registriesConf(t, fmt.Sprintf("[[registry]]\nlocation = \"blocked.example\"\nblocked = true\n[[registry]]\nprefix = \"x.example\"\nlocation = %q\n", one.Host))
	for name, c := range map[string]struct {
		side  string
		lines []string
	}{
		"no such image":      {"source", []string{line(p, "ci/none:v1", "m/none:v1")}},
		"no such tag":        {"source", []string{one.Host + "/ci/a:x* " + one.Host + "/m/a"}},
		"no such repository": {"source", []string{one.Host + "/ci/none:* " + one.Host + "/m/a"}},
		"nested too deeply":  {"source", []string{line(p, "ci/nested:v1", "m/nested:v1")}},
		"blocked source":     {"source", []string{"blocked.example/a:v1 " + one.Host + "/m/a:v1"}},
		"blocked tags":       {"source", []string{"blocked.example/a:* " + one.Host + "/m/a"}},
		"blocked target":     {"destination", []string{one.Host + "/ci/a:v1 blocked.example/a:v1"}},
		"contested":          {"destination", []string{one.Host + "/ci/a:v* " + one.Host + "/m/c", one.Host + "/ci/b:v* x.example/m/c"}},
		"no such host":       {"source", []string{"registry.invalid/a:v1 " + one.Host + "/m/a:v1"}},
	} {
		run := mirrorWith(t, config, c.lines...)
		run.allAre(t, stream.Failed)
		for _, got := range run.results {
			if got.Error == nil || got.Error.Side != c.side || got.Error.Advice == "" {
				t.Errorf("%s: failed with %+v, want the side %q, and advice", name, got.Error, c.side)
			}
		}
	}
}

// Two images give one blob two sizes. The one that is wrong fails, whichever comes first, and
// the message has the size.
func TestImageThatGivesABlobAnotherSizeFailsAlone(t *testing.T) {
	t.Parallel()
	one, p := newLaxRegistry(t)
	image := registrytest.NewImage(registrytest.OCI, "image", "amd64", registrytest.NewLayer("layer", 100_000))
	push(t, one, "ci/good:v1", image)
	m, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	size := m.Layers[0].Size
	says := map[string]string{}
	var lines []string
	for name, c := range map[string]struct {
		size int64
		says string
	}{
		"larger":   {size + 1, fmt.Sprintf("gives the blob %d bytes, but it has %d", size+1, size)},
		"double":   {2 * size, fmt.Sprintf("gives the blob %d bytes, but it has %d", 2*size, size)},
		"smaller":  {size - 1, fmt.Sprintf("gives the blob %d bytes, but it has more", size-1)},
		"one byte": {1, "gives the blob 1 bytes, but it has more"},
	} {
		wrong := m.DeepCopy()
		wrong.Layers[0].Size = c.size
		name = "ci/" + strings.ReplaceAll(name, " ", "-") + ":v1"
		push(t, one, strings.Replace(name, ":v1", ":good", 1), image)
		push(t, one, name, registrytest.BareManifest{Type: m.MediaType, Content: marshal(t, wrong)})
		to := strings.Replace(name, "ci", "m", 1)
		lines = append(lines, line(p, name, to))
		says[one.Host+"/"+to] = c.says
	}
	lines = append(lines[:2], append([]string{line(p, "ci/good:v1", "m/good:v1")}, lines[2:]...)...)
	config := settings()
	config.Retries = 2
	run := mirrorWith(t, config, lines...)
	for name, want := range says {
		got := run.results[name]
		if got.Status != stream.Failed || !strings.Contains(got.Error.Message, want) {
			t.Errorf("%s is %s: %+v, want failed with %q", name, got.Status, got.Error, want)
			continue
		}
		wantBlame(t, got, "source")
	}
	if got := run.results[one.Host+"/m/good:v1"]; got.Status != stream.Copied {
		t.Errorf("the good image is %s: %+v", got.Status, got.Error)
	}
}
