package plan

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"imagemirror/internal/digest"
	"imagemirror/internal/manifest"
	"imagemirror/internal/stream"
)

// layered serves images with many layers that no two images share.
type layered struct {
	manifests map[string]string // by digest
	bytes     int               // of all manifests
}

func (r *layered) add(content string) string {
	id := digest.Of([]byte(content))
	r.manifests[id] = content
	r.bytes += len(content)
	return id
}

// image adds an index with four manifests of 8 KB, and returns its digest.
func (r *layered) image(number int) string {
	var children []string
	for platform := range 4 {
		var layers []string
		for l := range 50 {
			id := digest.Of(fmt.Appendf(nil, "%d %d %d", number, platform, l))
			layers = append(layers, fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":%q,"size":%d}`, id, 1000+l))
		}
		m := fmt.Sprintf(`{"mediaType":%q,"config":{"digest":%q,"size":9},"layers":[%s]}`,
			manifest.OCIManifest, digest.Of([]byte("config")), strings.Join(layers, ","))
		children = append(children, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, manifest.OCIManifest, r.add(m), len(m)))
	}
	return r.add(fmt.Sprintf(`{"mediaType":%q,"manifests":[%s]}`, manifest.OCIIndex, strings.Join(children, ",")))
}

func (r *layered) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	_, name, _ := strings.Cut(q.URL.Path, "/manifests/")
	content, ok := r.manifests[name]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
	}
	_, _ = io.WriteString(w, content)
}

// A plan holds its manifests in less memory than their text takes, even while it is written.
// In a plan as small as this, things of constant size such as connections take a large share.
func TestPlanTakesLittleMemory(t *testing.T) {
	r := &layered{manifests: map[string]string{}}
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	host := strings.TrimPrefix(s.URL, "http://")
	var lines []string
	for i := range 250 {
		lines = append(lines, fmt.Sprintf("%s/ci@%s %s/m/%d:v1", host, r.image(i), host, i))
	}
	sets, o := load(t, lines...), options(t)
	before := memory().HeapAlloc
	kept := func(what string) {
		t.Helper()
		if n := int(memory().HeapAlloc) - int(before); n > r.bytes*3/4 {
			t.Errorf("%s keeps %d bytes, and the manifests have %d", what, n, r.bytes)
		}
	}
	p, err := Make(t.Context(), o, sets)
	if err != nil {
		t.Fatal(err)
	}
	kept("a plan")
	cut := p.Cut(8)
	if len(cut.Shards) != 8 || p.Count(stream.Failed) != 0 {
		t.Fatalf("%d shards and %d failed mappings, want 8 and 0", len(cut.Shards), p.Count(stream.Failed))
	}
	for _, part := range cut.All() {
		if _, err := stream.Write(io.Discard, part); err != nil {
			t.Fatal(err)
		}
		kept("a plan that is being written")
	}
	runtime.KeepAlive(p)
	runtime.KeepAlive(cut)
}
