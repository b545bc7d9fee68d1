package wire

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

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
