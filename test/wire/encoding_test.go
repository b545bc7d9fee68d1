package wire

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// encode returns a fault that gzips the bodies of answers, as front servers do that ignore
// Accept-Encoding. It counts requests that ask for anything but identity. An answer has a
// Content-Length if sized is true.
func encode(name string, sized bool, asked *atomic.Int64) registrytest.Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept-Encoding") != "identity" {
				asked.Add(1)
			}
			plain := httptest.NewRecorder()
			next.ServeHTTP(plain, r)
			body := plain.Body.Bytes()
			if strings.Contains(name, "gzip") {
				body = pack(body)
			}
			for k, v := range plain.Header() {
				w.Header()[k] = v
			}
			w.Header().Set("Content-Encoding", name)
			w.Header().Del("Content-Length")
			if sized {
				w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			}
			w.WriteHeader(plain.Code)
			if !sized {
				_ = http.NewResponseController(w).Flush()
			}
			_, _ = w.Write(body)
		})
	}
}

// pack returns b in gzip.
func pack(b []byte) []byte {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(b)
	_ = z.Close()
	return packed.Bytes()
}

// gets matches requests whose answers have a body to encode.
func gets(r *http.Request) bool { return r.Method == http.MethodGet }

func TestAnswersInGzipAreDecoded(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"GET manifest", "GET tags", "token"} {
		for _, name := range []string{"gzip", "x-gzip"} {
			t.Run(kind+" "+name, func(t *testing.T) {
				t.Parallel()
				p := newPrivatePair(t)
				push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 10_000)))
				var asked atomic.Int64
				p.source.Inject(registrytest.FaultRule{Kind: kind, Match: gets, Fault: encode(name, name == "gzip", &asked)})
				run := mirrorLines(t, p.source.Host+"/ci/a:v* "+p.destination.Host+"/m/a")
				run.allAre(t, stream.Copied)
				wantArrived(t, p, "ci/a:v1", "m/a:v1")
				if n := asked.Load(); n != 0 {
					t.Errorf("%d requests did not ask for identity", n)
				}
			})
		}
	}
}

func TestWordsOfAnErrorInGzipAreShown(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	var asked atomic.Int64
	answer := registrytest.Status(403, `{"errors":[{"code":"DENIED","message":"not on Sundays"}]}`)
	for _, kind := range []string{"GET manifest", "GET blob"} {
		p.source.Heal()
		p.source.Inject(registrytest.FaultRule{Kind: kind, Fault: func(next http.Handler) http.Handler {
			return encode("gzip", true, &asked)(answer(next))
		}})
		push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 10_000)))
		got := mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).results[p.destination.Host+"/m/a:v1"]
		if got.Status != stream.Failed || !strings.Contains(got.Error.Message, "not on Sundays") {
			t.Errorf("%s: the result is %+v with %+v, want the registry's words", kind, got, got.Error)
		}
	}
}

// A registry whose answers cannot be read is not down.
func TestEncodedAnswersAreAnswers(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64"))
	p.source.Inject(registrytest.FaultRule{Kind: "GET manifest", Fault: encode("br", true, new(atomic.Int64))})
	from := at(t, client(t, settings()), p.source, "ci/a")
	for range 20 {
		if _, err := from.Manifest(t.Context(), "v1"); err == nil || !strings.Contains(err.Error(), `the content encoding "br"`) {
			t.Fatalf("the error is %v", err)
		}
	}
}

func TestOtherEncodingsAreRefusedByName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"br", "deflate", "zstd"} {
		p := newPair(t)
		push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64"))
		var asked atomic.Int64
		p.source.Inject(registrytest.FaultRule{Kind: "GET manifest", Fault: encode(name, true, &asked)})
		got := mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).results[p.destination.Host+"/m/a:v1"]
		if got.Status != stream.Failed || !strings.Contains(got.Error.Message, `the content encoding "`+name+`"`) || !strings.Contains(got.Error.Advice, "Accept-Encoding: identity") {
			t.Errorf("%s: the result is %+v with %+v, want failed with its name", name, got, got.Error)
		}
		if n := p.source.Stats().Requests["GET manifest"]; n != 1 {
			t.Errorf("%s: the manifest was asked for %d times, want once", name, n)
		}
	}
}

// zeros returns an image with a layer that is not compressed, so that gzip makes it shorter.
func zeros(t *testing.T, size int) remote.Taggable {
	t.Helper()
	image, err := mutate.AppendLayers(empty.Image, static.NewLayer(bytes.Repeat([]byte("0123456789"), size/10), types.OCIUncompressedLayer))
	if err != nil {
		t.Fatal(err)
	}
	return mutate.MediaType(image, types.OCIManifestSchema1)
}

// A blob may come in gzip, or only be called so: stores and CDNs take the gzip of a layer for
// an encoding of it.
func TestBlobsAreDecodedIfTheirDigestSaysSo(t *testing.T) {
	t.Parallel()
	layers := map[string]remote.Taggable{
		"small, in gzip":  registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 10_000)),
		"large, in gzip":  registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 700_000)),
		"small and plain": zeros(t, 20_000),
		"large and plain": zeros(t, 700_000),
	}
	for name, image := range layers {
		for _, c := range []struct {
			encoding string
			sized    bool
			again    int // blobs that are read in the wrong way first
		}{
			{"gzip", true, 0},
			{"x-gzip", false, 0},
			{"", true, 0},
			{"", false, 1},
		} {
			t.Run(fmt.Sprintf("%s, %q, %v", name, c.encoding, c.sized), func(t *testing.T) {
				t.Parallel()
				p := newPair(t)
				push(t, p.source, "ci/a:v1", image)
				var asked atomic.Int64
				fault := encode(c.encoding, c.sized, &asked)
				if c.encoding == "" {
					fault = mislabel("gzip", c.sized)
				}
				p.source.Inject(registrytest.FaultRule{Kind: "GET blob", Fault: fault})
				p.reset()
				mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
				wantArrived(t, p, "ci/a:v1", "m/a:v1")
				if n := p.source.Stats().Requests["GET blob"]; n > 2+c.again || c.again == 0 && n != 2 {
					t.Errorf("%d requests for 2 blobs, want at most %d more", n, c.again)
				}
				if asked.Load() != 0 {
					t.Errorf("%d requests did not ask for identity", asked.Load())
				}
			})
		}
	}
}

// mislabel returns a fault that names an encoding that was not applied.
func mislabel(name string, sized bool) registrytest.Fault {
	if sized {
		return registrytest.SetHeader("Content-Encoding", name)
	}
	return func(next http.Handler) http.Handler {
		return registrytest.SetHeader("Content-Encoding", name)(registrytest.SetHeader("Content-Length", "")(next))
	}
}

// An encoded blob cannot be resumed with a range: it is read from its beginning, and only what
// is missing is passed on.
func TestEncodedBlobThatBreaksOffIsResumed(t *testing.T) {
	t.Parallel()
	for _, sized := range []bool{true, false} {
		p := newPair(t)
		push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 700_000)))
		var asked atomic.Int64
		encoded := encode("gzip", sized, &asked)
		p.source.Inject(
			registrytest.FaultRule{Kind: "GET blob", Match: onlyLarge(p.source, "GET blob"), Times: 1, Fault: func(next http.Handler) http.Handler {
				return registrytest.CutAfter(300_000)(encoded(next))
			}},
			registrytest.FaultRule{Kind: "GET blob", Fault: encoded})
		mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
		wantArrived(t, p, "ci/a:v1", "m/a:v1")
	}
}

func TestOtherEncodingsOfBlobs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fault registrytest.Fault
		want  string
	}{
		{mislabel("zstd", true), stream.Copied}, // of a layer that is in zstd itself
		{mislabel("aws-chunked", false), stream.Copied},
		{encode("br", false, new(atomic.Int64)), stream.Failed},
		{registrytest.Status(200, "short", "Content-Encoding", "br"), stream.Failed},
	} {
		p := newPair(t)
		push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 10_000)))
		p.source.Inject(registrytest.FaultRule{Kind: "GET blob", Fault: c.fault})
		got := mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).results[p.destination.Host+"/m/a:v1"]
		if got.Status != c.want || c.want == stream.Failed && !strings.Contains(got.Error.Message, `the content encoding "br"`) {
			t.Errorf("the result is %+v with %+v, want %s", got, got.Error, c.want)
		}
	}
}

// Docker-Content-Digest is compared if it is a digest of sha256, however it is written, and
// ignored otherwise.
func TestAnnouncedDigests(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	digest := push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64"))
	other := "sha256:" + strings.Repeat("ab", 32)
	for _, c := range []struct {
		name, header, want string
		gets               int // requests that read the manifest since HEAD did not tell
	}{
		{"in capitals", "SHA256:" + strings.ToUpper(digest[7:]), digest, 1},
		{"in quotes", `"` + digest + `"`, digest, 1},
		{"none", "", digest, 1},
		{"of sha512", "sha512:" + strings.Repeat("ab", 64), digest, 1},
		{"a path", "sha256:" + strings.Repeat("../", 21) + "x", digest, 1},
		{"with markup", "sha256:<img src=x>" + strings.Repeat("x", 53), digest, 1},
		{"another image's", other, other, 0},
	} {
		p.source.Heal()
		p.source.Reset()
		p.source.Inject(registrytest.FaultRule{Match: func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/manifests/") }, Fault: registrytest.SetHeader("Docker-Content-Digest", c.header)})
		from := at(t, client(t, settings()), p.source, "ci/a")
		if got, err := from.Head(t.Context(), "v1"); err != nil || got != c.want {
			t.Errorf("%s: got %s and %v, want %s", c.name, got, err, c.want)
		}
		if n := p.source.Stats().Requests["GET manifest"]; n != c.gets {
			t.Errorf("%s: the manifest was read %d times, want %d", c.name, n, c.gets)
		}
		if got, err := from.Head(t.Context(), digest); err != nil || got != digest {
			t.Errorf("%s: of a digest, got %s and %v", c.name, got, err)
		}
		_, err := from.Manifest(t.Context(), "v1")
		if bad := c.want == other; bad != (err != nil) || bad && !strings.Contains(err.Error(), "was announced as "+other) {
			t.Errorf("%s: the manifest's error is %v", c.name, err)
		}
	}
}

func TestAnnouncedDigestThatDoesNotExistIsNamed(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64"))
	push(t, p.destination, "m/a:v1", registrytest.NewImage(registrytest.OCI, "old", "amd64"))
	other := "sha256:" + strings.Repeat("ab", 32)
	p.source.Inject(registrytest.FaultRule{Kind: "HEAD manifest", Fault: registrytest.SetHeader("Docker-Content-Digest", other)})
	got := mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).results[p.destination.Host+"/m/a:v1"]
	if got.Status != stream.Failed || !strings.Contains(got.Error.Message, other) || !strings.Contains(got.Error.Message, "announced this digest for the tag v1") || !strings.Contains(got.Error.Advice, "push the tag") {
		t.Errorf("the result is %+v with %+v, want failed with both names", got, got.Error)
	}
}

func TestAnnouncedDigestsInCapitalsAreCompared(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64"))
	p.source.Inject(registrytest.FaultRule{Kind: "GET manifest", Fault: registrytest.SetHeader("Docker-Content-Digest", "SHA256:"+strings.Repeat("AB", 32))})
	_, err := at(t, client(t, settings()), p.source, "ci/a").Manifest(t.Context(), "v1")
	if err == nil || !strings.Contains(err.Error(), "was announced as sha256:abab") {
		t.Errorf("the error is %v, want another digest's", err)
	}
}
