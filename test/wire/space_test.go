package wire

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"imagemirror/internal/digest"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// claims returns a manifest whose layers claim these sizes.
func claims(sizes ...string) registrytest.BareManifest {
	var layers []string
	for i, size := range sizes {
		layers = append(layers, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%s}`, types.OCILayer, digest.Of([]byte(fmt.Sprint(i))), size))
	}
	return registrytest.BareManifest{Type: types.OCIManifestSchema1, Content: fmt.Appendf(nil,
		`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":2},"layers":[%s]}`,
		types.OCIManifestSchema1, types.OCIConfigJSON, digest.Of([]byte("{}")), strings.Join(layers, ","))}
}

func repeated(size string, n int) []string {
	return strings.Split(strings.Repeat(size+" ", n-1)+size, " ")
}

// An image that claims more than its bounds fails in split, by name, and no other does. copy and
// report read what split wrote.
func TestImageThatClaimsTooMuchFailsAlone(t *testing.T) {
	t.Parallel()
	r := registrytest.InProcess(t) // it takes manifests without their blobs
	p := pair{remoteRegistry{registrytest.NewProxy(t, r, registrytest.ProxyOptions{}), r.Host}, newRegistry(t, nil)}
	push(t, p.source, "ci/good:v1", registrytest.NewImage(registrytest.OCI, "good", "amd64", registrytest.NewLayer("good", 1000)))
	for name, c := range map[string]struct {
		image   registrytest.BareManifest
		message string
	}{
		"largest":  {claims("9223372036854775807"), "and at most 1 TiB are allowed"},
		"overflow": {claims("18446744073709551616"), "which is not a whole number of bytes"},
		"sum":      {claims(repeated("1099511627776", 65)...), "the layers of the image have more than 64 TiB"},
		"entries":  {index(t, p.source, claims(repeated("1", 20_000)...), claims(repeated("2", 20_000)...)), "list more than 40000 layers and configs"},
	} {
		push(t, p.source, "ci/"+name+":v1", c.image)
		run := mirrorLines(t, line(p, "ci/"+name+":v1", "m/"+name+":v1"), line(p, "ci/good:v1", "m/"+name+"-good:v1"))
		got := run.results[p.destination.Host+"/m/"+name+":v1"]
		if got.Status != stream.Failed || !strings.Contains(got.Error.Message, c.message) || got.Error.Side != "source" || got.Error.Advice == "" {
			t.Errorf("%s: the result is %s with %+v, want failed: %s", name, got.Status, got.Error, c.message)
		}
		if got := run.results[p.destination.Host+"/m/"+name+"-good:v1"]; got.Status != stream.Copied {
			t.Errorf("%s: the other image is %s with %+v", name, got.Status, got.Error)
		}
	}
}

// index pushes manifests, and returns an index of them.
func index(t *testing.T, to remoteRegistry, manifests ...registrytest.BareManifest) registrytest.BareManifest {
	t.Helper()
	var entries []string
	for i, m := range manifests {
		id := push(t, to, fmt.Sprint("ci/entries:", i), m)
		entries = append(entries, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, m.Type, id, len(m.Content)))
	}
	return registrytest.BareManifest{Type: types.OCIImageIndex, Content: fmt.Appendf(nil,
		`{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, types.OCIImageIndex, strings.Join(entries, ","))}
}
