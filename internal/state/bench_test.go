package state

import (
	"crypto/rand"
	"fmt"
	"net/http/httptest"
	"testing"

	"k8s.io/client-go/rest"

	"imagemirror/internal/state/statetest"
)

// BenchmarkPut stores shards of a plan one after the other, as split does.
func BenchmarkPut(b *testing.B) {
	s := httptest.NewServer(&statetest.Server{})
	b.Cleanup(s.Close)
	store, err := newConfigMaps(&rest.Config{Host: s.URL}, Location{Run: "bench", Namespace: "default"})
	if err != nil {
		b.Fatal(err)
	}
	shard := rand.Text()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if err := store.Put(b.Context(), fmt.Sprintf("shard-%d", i), literal(shard)); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
