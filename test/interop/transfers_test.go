package interop

import (
	"net/http"
	"regexp"
	"testing"

	"imagemirror/internal/manifest"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

const (
	largest   = 3 << 20 // body that a front server allows
	largeBlob = 9 << 20 // the upload of so many bytes is resumed if it breaks off
)

// How a transfer goes on depends on what the registry makes of Range, of PATCH and of a request
// for an upload's state. The blob arrives from and at each of them.
func TestTransfersGoOn(t *testing.T) {
	for _, k := range kinds {
		t.Run("cut download from "+k.name, func(t *testing.T) {
			t.Parallel()
			image, blob := largeImage(2 << 20)
			from, to := k.behindProxy(t), kinds[0].behindProxy(t)
			from.Inject(registrytest.FaultRule{Kind: "GET blob", Path: blob, Times: 1, Fault: registrytest.CutAfter(1 << 20)})
			copyLarge(t, image, from.Host, to.Host)
			// The configuration, the part that came, and the rest.
			if n := from.Stats().Requests["GET blob"]; n < 3 {
				t.Errorf("the source had %d GET blob: the fault did not strike", n)
			}
		})
		t.Run("upload in parts to "+k.name, func(t *testing.T) {
			t.Parallel()
			image, _ := largeImage(largeBlob)
			from, to := kinds[0].behindProxy(t), k.behindProxy(t)
			to.Inject(
				registrytest.FaultRule{
					Match: func(r *http.Request) bool { return r.ContentLength > largest },
					Fault: registrytest.Status(http.StatusRequestEntityTooLarge, "too large"),
				},
				registrytest.FaultRule{Kind: "PATCH upload", Times: 1, Fault: registrytest.LoseAnswer()},
			)
			copyLarge(t, image, from.Host, to.Host)
			if n := to.Stats().Requests; n["PATCH upload"] == 0 || n["GET upload"] == 0 {
				t.Errorf("the destination had the requests %v, want PATCH and GET of an upload", n)
			}
		})
	}
}

// largeImage returns an image with a layer of size bytes, and a pattern of the paths that have the
// layer's digest.
func largeImage(size int) (sample, *regexp.Regexp) {
	s := sample{repo: "large", tags: []string{"v1"}}
	layer := document{ociLayer, random("large", size)}
	s.image(manifest.OCIManifest, s.config(ociConfig, "large"), s.blob(ociLayer, layer.content))
	return s, regexp.MustCompile(layer.digest())
}

// copyLarge pushes an image to a registry, copies it to another one, and compares it there.
func copyLarge(t *testing.T, image sample, fromHost, toHost string) {
	t.Helper()
	from, to := raw{fromHost, &http.Client{}}, raw{toHost, &http.Client{}}
	if accepted, err := from.seed(t.Context(), "ci/", image); !accepted {
		t.Fatal("the image is refused:", err)
	}
	got := mirrorLines(t, 5, []string{image.line(fromHost, toHost)})[image.destinations(toHost)[0]]
	if got.Status != stream.Copied {
		t.Fatalf("the image is %+v (%+v)", got, got.Error)
	}
	for _, err := range compare(t.Context(), from, to, image) {
		t.Error(err)
	}
}

// behindProxy starts a registry on disk, since some are slow with large blobs in memory, and a
// proxy before it.
func (k kind) behindProxy(t *testing.T) *registrytest.Proxy {
	t.Helper()
	return registrytest.NewProxy(t, k.run(t, t, t.TempDir()), registrytest.ProxyOptions{})
}
