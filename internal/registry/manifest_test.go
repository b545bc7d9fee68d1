package registry

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/digest"
)

// A malformed Docker-Content-Digest costs one GET. It must not fail an image.
func TestUnusableDigestHeaderIsReplacedByTheContents(t *testing.T) {
	content := []byte(`{"schemaVersion":2}`)
	want := digest.Of(content)
	for _, header := range []string{
		"",
		"sha256:../../" + want[13:],
		"sha256:" + strings.ToUpper(want[7:]),
		want[:len(want)-1],
		want + "0",
		"sha512:" + want[7:] + want[7:],
		"sha256:" + want[8:] + "/",
		strings.TrimPrefix(want, "sha256:"),
	} {
		var mu sync.Mutex
		var asked []string
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			asked = append(asked, r.Method+" "+r.URL.Path)
			mu.Unlock()
			w.Header().Set("Docker-Content-Digest", header)
			if r.Method == http.MethodPut {
				w.WriteHeader(http.StatusCreated)
				return
			}
			_, _ = w.Write(content)
		}))
		t.Cleanup(s.Close)
		r := repositoryAt(t, s.Listener.Addr().String(), Config{Concurrency: 2, Retries: 2, Stall: 10 * time.Second}, keys(anonymously))
		if got, err := r.Head(t.Context(), "v1"); got != want || err != nil {
			t.Errorf("HEAD with the header %q: got %q, %v; want %s", header, got, err, want)
		}
		m, err := r.Manifest(t.Context(), "v1")
		if m.Digest != want || err != nil {
			t.Errorf("GET with the header %q: got %q, %v; want %s", header, m.Digest, err, want)
		}
		if err := r.PutManifest(t.Context(), "v2", m); err != nil {
			t.Errorf("PUT with the header %q: %v", header, err)
		}
		requests := []string{"HEAD /v2/a/b/manifests/v1", "GET /v2/a/b/manifests/v1", "GET /v2/a/b/manifests/v1", "PUT /v2/a/b/manifests/v2"}
		if diff := cmp.Diff(requests, asked); diff != "" {
			t.Errorf("requests with the header %q (-want +got):\n%s", header, diff)
		}
	}
}
