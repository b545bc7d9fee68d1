package mirror

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"strconv"
	"strings"
	"testing"
	"time"

	"imagemirror/internal/credentials"
	"imagemirror/internal/digest"
	"imagemirror/internal/manifest"
	"imagemirror/internal/reference"
	"imagemirror/internal/registry"
	"imagemirror/internal/waits"
)

type anonymous struct{}

func (anonymous) For(context.Context, reference.Side, string, string) (credentials.Credential, error) {
	return credentials.Credential{}, nil
}

type silent struct{}

func (silent) Blob(string, string, int64) Transfer { return silent{} }
func (silent) Add(int64)                           {}
func (silent) Begin(waits.Wait) (end func())       { return func() {} }
func (silent) Done(error)                          {}
func (silent) Mounted(int64)                       {}
func (silent) Image(Outcome)                       {}

func newClient(b testing.TB) *registry.Client {
	b.Helper()
	c, err := registry.New(registry.Config{Concurrency: 16, Retries: 1, Stall: time.Minute}, anonymous{})
	if err != nil {
		b.Fatal(err)
	}
	return c
}

func image(blobs ...manifest.Descriptor) manifest.Raw {
	content, _ := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": manifest.OCIManifest, "config": blobs[0], "layers": blobs[1:]})
	return manifest.Raw{Digest: digest.Of(content), MediaType: manifest.OCIManifest, Content: content}
}

// BenchmarkGraph builds the graph of 5,000 images in 500 repositories. Each image has eight
// blobs, and all images share five of them.
func BenchmarkGraph(b *testing.B) {
	const images, perRepository, blobsEach = 5000, 10, 8
	manifests := map[string]manifest.Raw{}
	var jobs []Job
	for i := range images {
		var blobs []manifest.Descriptor
		for k := range blobsEach {
			name := fmt.Sprintf("shared %d", k)
			if k >= 5 {
				name = fmt.Sprintf("%d of %d", k, i)
			}
			blobs = append(blobs, manifest.Descriptor{MediaType: "application/octet-stream", Digest: digest.Of([]byte(name)), Size: 1000})
		}
		m := image(blobs...)
		manifests[m.Digest] = m
		jobs = append(jobs, Job{
			ID: i, Digest: m.Digest,
			Source:      reference.Reference{Registry: "127.0.0.1:1", Repository: fmt.Sprintf("ci/a%d", i/perRepository), Tag: fmt.Sprintf("t%d", i)},
			Destination: reference.Reference{Registry: "127.0.0.1:2", Repository: fmt.Sprintf("m/a%d", i/perRepository), Tag: fmt.Sprintf("t%d", i)},
		})
	}
	c := newClient(b)
	b.ReportAllocs()
	for b.Loop() {
		e := newEngine(b.Context(), func(error) {}, Options{Client: c, Observer: silent{}}, among(manifests))
		e.build(b.Context(), jobs)
		e.start()
		if got := len(e.blobs); got != 5+3*images {
			b.Fatalf("the graph has %d blobs", got)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(images*blobsEach), "ns/blob")
}

const streamed = 256 << 20

// servers starts a source that has the blobs, by digest, and a destination that accepts
// everything. A mount from another repository finds the blob shared there.
func servers(b *testing.B, blobs map[string][]byte, shared string) (source, destination string) {
	b.Helper()
	from := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content := blobs[path.Base(r.URL.Path)]
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = w.Write(content)
	}))
	b.Cleanup(from.Close)
	to := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		_, _ = io.Copy(io.Discard, r.Body)
		if r.Method == http.MethodPost && (q.Get("mount") != shared || strings.Contains(r.URL.Path, "/"+q.Get("from")+"/")) {
			w.Header().Set("Location", "/upload")
			w.WriteHeader(http.StatusAccepted)
			return
		}
		w.WriteHeader(http.StatusCreated)
	}))
	b.Cleanup(to.Close)
	return strings.TrimPrefix(from.URL, "http://"), strings.TrimPrefix(to.URL, "http://")
}

// BenchmarkStream copies a layer of 256 MiB over loopback: through the engine, which verifies it,
// and with io.Copy between the same servers, which does not.
func BenchmarkStream(b *testing.B) {
	config, layer := []byte("{}"), bytes.Repeat([]byte("0123456789abcdef"), streamed/16)
	layerDigest := digest.Of(layer)
	source, destination := servers(b, map[string][]byte{digest.Of(config): config, layerDigest: layer}, "")
	m := image(
		manifest.Descriptor{MediaType: "application/vnd.oci.image.config.v1+json", Digest: digest.Of(config), Size: int64(len(config))},
		manifest.Descriptor{MediaType: "application/vnd.oci.image.layer.v1.tar", Digest: layerDigest, Size: streamed})
	job := Job{
		Digest:      m.Digest,
		Source:      reference.Reference{Registry: source, Repository: "a", Tag: "v1"},
		Destination: reference.Reference{Registry: destination, Repository: "b", Tag: "v1"},
	}
	b.Run("engine", func(b *testing.B) {
		c := newClient(b)
		b.SetBytes(streamed)
		b.ReportAllocs()
		for b.Loop() {
			done := lastOutcome{}
			Run(b.Context(), Options{Client: c, Observer: &done}, []Job{job}, among(map[string]manifest.Raw{m.Digest: m}))
			if done.err != nil {
				b.Fatal(done.err)
			}
		}
	})
	b.Run("copy", func(b *testing.B) {
		b.SetBytes(streamed)
		b.ReportAllocs()
		for b.Loop() {
			plainCopy(b, source, destination, layerDigest)
		}
	})
}

// lastOutcome keeps the error of the last image.
type lastOutcome struct {
	silent
	err error
}

func (o *lastOutcome) Image(out Outcome) { o.err = out.Err }

func plainCopy(b *testing.B, source, destination, digest string) {
	b.Helper()
	got, err := http.Get("http://" + source + "/" + digest)
	if err != nil {
		b.Fatal(err)
	}
	defer got.Body.Close()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodPut, "http://"+destination+"/upload", got.Body)
	if err != nil {
		b.Fatal(err)
	}
	req.ContentLength = streamed
	put, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	_ = put.Body.Close()
}

// among returns the Manifests of a map.
func among(all map[string]manifest.Raw) Manifests {
	return func(digest string) (manifest.Raw, bool) {
		m, ok := all[digest]
		return m, ok
	}
}
