package plan

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"imagemirror/internal/imageset"
	"imagemirror/internal/registry"
	"imagemirror/internal/stream"
)

// BenchmarkNothingToDo plans 5,000 mappings whose destinations are current, with registries
// that respond at once. kept-B is the memory that the plan and its client hold per mapping.
func BenchmarkNothingToDo(b *testing.B) {
	const mappings = 5000
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))
	}))
	b.Cleanup(s.Close)
	file := filepath.Join(b.TempDir(), "mapping_bench")
	var lines strings.Builder
	for i := range mappings {
		// To split, localhost is another registry. It is the same server.
		name := fmt.Sprintf("team/image-%d:t%d", i/50, i%50)
		source := strings.TrimPrefix(s.URL, "http://")
		fmt.Fprintf(&lines, "%s/%s %s/mirror/%s\n", source, name, strings.Replace(source, "127.0.0.1", "localhost", 1), name)
	}
	if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	kept, before := int64(0), memory()
	for b.Loop() {
		kept = nothingToDo(b, file, mappings)
	}
	after := memory()
	n := float64(b.N * mappings)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/n, "ns/mapping")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/n, "allocs/mapping")
	b.ReportMetric(float64(kept)/mappings, "kept-B/mapping")
	b.ReportMetric(0, "ns/op")
}

// nothingToDo makes a plan and returns the bytes that it holds.
func nothingToDo(b *testing.B, file string, mappings int) int64 {
	empty := memory()
	client, err := registry.New(registry.Config{Concurrency: 16, Retries: 1, Stall: time.Minute}, anonymous{})
	if err != nil {
		b.Fatal(err)
	}
	input, err := imageset.Load([]string{file}, nil)
	if err != nil {
		b.Fatal(err)
	}
	p, err := Make(b.Context(), Options{Client: client}, input.Sets)
	if err != nil {
		b.Fatal(err)
	}
	full := memory()
	if current := p.Count(stream.Current); current != mappings {
		b.Fatalf("%d of %d mappings are current", current, mappings)
	}
	runtime.KeepAlive(input)
	runtime.KeepAlive(client)
	return int64(full.HeapAlloc) - int64(empty.HeapAlloc)
}

// memory returns the memory statistics after a collection.
func memory() runtime.MemStats {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m
}
