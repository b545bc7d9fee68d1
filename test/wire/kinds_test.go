package wire

import (
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

func TestAllKindsOfImagesArrive(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	layer := registrytest.NewLayer("layer", 2000)
	zstd := registrytest.NewBlob("zstd", 3000, types.OCILayerZStd)
	data := registrytest.NewBlob("data", 3000, registrytest.ExampleBlob)
	image := registrytest.NewImage(registrytest.OCI, "image", "amd64", layer)
	for name, what := range map[string]remote.Taggable{
		"docker":         registrytest.NewImage(registrytest.Docker, "docker", "amd64", layer),
		"docker-list":    registrytest.NewPlatforms(registrytest.Docker, "list", 2000, []string{"amd64", "s390x"}, layer),
		"oci":            image,
		"oci-index":      registrytest.NewPlatforms(registrytest.OCI, "index", 2000, []string{"amd64", "arm64"}, layer),
		"nested-index":   registrytest.NewIndex(registrytest.OCI, registrytest.NewIndex(registrytest.OCI, image), image),
		"artifact":       registrytest.NewArtifact("artifact", data),
		"empty-config":   registrytest.NewEmptyConfigArtifact(data),
		"zstd":           registrytest.NewImage(registrytest.OCI, "zstd", "amd64", zstd),
		"no-layers":      registrytest.NewImage(registrytest.OCI, "none", "amd64"),
		"empty-index":    registrytest.NewIndex(registrytest.OCI),
		"repeated-layer": registrytest.NewImage(registrytest.OCI, "repeated", "amd64", layer, layer),
	} {
		t.Run(name, func(t *testing.T) {
			push(t, p.source, "ci/"+name+":v1", what)
			mirrorLines(t, line(p, "ci/"+name+":v1", "m/"+name+":v1")).allAre(t, stream.Copied)
			wantArrived(t, p, "ci/"+name+":v1", "m/"+name+":v1")
		})
	}
}

// This test uses go-containerregistry's registry, which accepts foreign layers. Distribution checks
// their URLs.
func TestForeignLayersAreNotCopied(t *testing.T) {
	t.Parallel()
	r := registrytest.InProcess(t)
	one := remoteRegistry{registrytest.NewProxy(t, r, registrytest.ProxyOptions{}), r.Host}
	p := pair{one, one}
	foreign := registrytest.NewLayer("foreign", 5000).Foreign("https://example.com/layer")
	push(t, one, "ci/a:v1", registrytest.NewImage(registrytest.Docker, "a", "amd64", foreign, registrytest.NewLayer("own", 1000)))
	one.Reset()
	mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
	wantRequests(t, one, map[string]int{
		"HEAD manifest": 1, "GET manifest": 1, "POST mount": 2, "GET blob": 2, "PUT upload": 2, "PUT manifest": 1,
		"GET tags": 1, "GET referrers": 1,
	})
	wantArrived(t, p, "ci/a:v1", "m/a:v1")
}

func TestSchema1IsRefusedByName(t *testing.T) {
	t.Parallel()
	r := registrytest.InProcess(t)
	one := remoteRegistry{registrytest.NewProxy(t, r, registrytest.ProxyOptions{}), r.Host}
	push(t, one, "ci/old:v1", registrytest.Schema1("old", registrytest.NewLayer("old", 1000)))
	run := mirrorLines(t, line(pair{one, one}, "ci/old:v1", "m/old:v1"))
	got := run.results[one.Host+"/m/old:v1"]
	if got.Status != stream.Failed || !strings.Contains(got.Error.Message, "schema 1") {
		t.Errorf("the result is %+v, want failed for its schema 1", got)
	}
	wantRequests(t, one, map[string]int{"HEAD manifest": 1, "GET manifest": 1})
}
