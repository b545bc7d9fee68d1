package mirror

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"imagemirror/internal/digest"
	"imagemirror/internal/manifest"
	"imagemirror/internal/reference"
)

// smallImages are images of three blobs, one of which all share. Each repository has ten tags.
type smallImages struct {
	blobs     map[string][]byte
	shared    string
	manifests []manifest.Raw
}

func newSmallImages(count int) smallImages {
	s := smallImages{blobs: map[string][]byte{}}
	shared := s.blob("shared")
	s.shared = shared.Digest
	for i := range count {
		s.manifests = append(s.manifests, image(s.blob(fmt.Sprint("configuration ", i)), shared, s.blob(fmt.Sprint("layer ", i))))
	}
	return s
}

func (s smallImages) blob(name string) manifest.Descriptor {
	content := []byte(strings.Repeat(name+"\n", 1000/len(name)))
	d := manifest.Descriptor{MediaType: "application/octet-stream", Digest: digest.Of(content), Size: int64(len(content))}
	s.blobs[d.Digest] = content
	return d
}

func (s smallImages) repositories() int { return len(s.manifests) / 10 }

// requests returns how many requests the engine sends: a GET, a POST and a PUT for each blob, a
// POST for the shared one in each repository but the first, and a PUT for each manifest.
func (s smallImages) requests() int {
	return 3*len(s.blobs) + s.repositories() - 1 + len(s.manifests)
}

// BenchmarkSmallImages carries out 1,000 small jobs between two servers that answer at once, and
// compares with an HTTP client that sends as many requests from as many goroutines. The figures
// include the servers: only the difference counts.
func BenchmarkSmallImages(b *testing.B) {
	s := newSmallImages(1000)
	source, destination := servers(b, s.blobs, s.shared)
	b.Run("engine", func(b *testing.B) {
		var jobs []Job
		manifests := map[string]manifest.Raw{}
		for i, m := range s.manifests {
			name, tag := fmt.Sprintf("team/image-%d", i/10), fmt.Sprintf("t%d", i%10)
			jobs = append(jobs, Job{
				ID: i, Digest: m.Digest,
				Source:      reference.Reference{Registry: source, Repository: name, Tag: tag},
				Destination: reference.Reference{Registry: destination, Repository: name, Tag: tag},
			})
			manifests[m.Digest] = m
		}
		c := newClient(b)
		perRequest(b, s.requests(), func() {
			done := lastOutcome{}
			Run(b.Context(), Options{Client: c, Observer: &done}, jobs, among(manifests))
			if done.err != nil {
				b.Fatal(done.err)
			}
		})
	})
	b.Run("plain", func(b *testing.B) {
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
		b.Cleanup(client.CloseIdleConnections)
		perRequest(b, s.requests(), func() { s.sendAll(b, client, "http://"+source, "http://"+destination) })
	})
}

// sendAll sends the requests that the engine sends, in no order.
func (s smallImages) sendAll(b *testing.B, client *http.Client, source, destination string) {
	send := func(method, url string, body []byte) error {
		req, err := http.NewRequestWithContext(b.Context(), method, url, bytes.NewReader(body))
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	var group errgroup.Group
	group.SetLimit(32)
	for digest, content := range s.blobs {
		group.Go(func() error { return send(http.MethodGet, source+"/v2/a/blobs/"+digest, nil) })
		group.Go(func() error { return send(http.MethodPost, destination+"/v2/a/blobs/uploads/", nil) })
		group.Go(func() error { return send(http.MethodPut, destination+"/upload", content) })
	}
	for range s.repositories() - 1 {
		group.Go(func() error { return send(http.MethodPost, destination+"/v2/a/blobs/uploads/", nil) })
	}
	for _, m := range s.manifests {
		group.Go(func() error { return send(http.MethodPut, destination+"/v2/a/manifests/"+m.Digest, m.Content) })
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
}

// perRequest measures work and reports the cost of each of its requests.
func perRequest(b *testing.B, requests int, work func()) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for b.Loop() {
		work()
	}
	runtime.ReadMemStats(&after)
	n := float64(b.N * requests)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/n, "ns/request")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/n, "allocs/request")
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/n, "B/request")
}

// BenchmarkStreamVerified adds a hash to BenchmarkStream's copy, the least that a verifying copy
// costs.
func BenchmarkStreamVerified(b *testing.B) {
	layer := bytes.Repeat([]byte("0123456789abcdef"), streamed/16)
	layerDigest := digest.Of(layer)
	source, destination := servers(b, map[string][]byte{layerDigest: layer}, "")
	b.SetBytes(streamed)
	b.ReportAllocs()
	for b.Loop() {
		got, err := http.Get("http://" + source + "/" + layerDigest)
		if err != nil {
			b.Fatal(err)
		}
		req, err := http.NewRequestWithContext(b.Context(), http.MethodPut, "http://"+destination+"/upload", io.TeeReader(got.Body, sha256.New()))
		if err != nil {
			b.Fatal(err)
		}
		req.ContentLength = streamed
		put, err := http.DefaultClient.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = got.Body.Close(), put.Body.Close()
	}
}

// BenchmarkStreamToTwo copies a layer of 256 MiB, which is read once, to two registries.
func BenchmarkStreamToTwo(b *testing.B) {
	config, layer := []byte("{}"), bytes.Repeat([]byte("0123456789abcdef"), streamed/16)
	blobs := map[string][]byte{digest.Of(config): config, digest.Of(layer): layer}
	source, destination := servers(b, blobs, "")
	_, other := servers(b, blobs, "")
	m := image(
		manifest.Descriptor{MediaType: "application/vnd.oci.image.config.v1+json", Digest: digest.Of(config), Size: int64(len(config))},
		manifest.Descriptor{MediaType: "application/vnd.oci.image.layer.v1.tar", Digest: digest.Of(layer), Size: streamed})
	var jobs []Job
	for i, host := range []string{destination, other} {
		jobs = append(jobs, Job{
			ID: i, Digest: m.Digest,
			Source:      reference.Reference{Registry: source, Repository: "a", Tag: "v1"},
			Destination: reference.Reference{Registry: host, Repository: "b", Tag: "v1"},
		})
	}
	c := newClient(b)
	b.SetBytes(streamed)
	b.ReportAllocs()
	for b.Loop() {
		done := lastOutcome{}
		Run(b.Context(), Options{Client: c, Observer: &done}, jobs, among(map[string]manifest.Raw{m.Digest: m}))
		if done.err != nil {
			b.Fatal(done.err)
		}
	}
}
