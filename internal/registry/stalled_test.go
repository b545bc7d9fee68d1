package registry

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"imagemirror/internal/registrytest"
)

// If every registry has stalled, the one that did so last is asked last. A good one that stood
// still once comes first again as soon as the slow one has stalled again.
func TestRegistryThatStalledLastIsAskedLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := pipedRepository(t, hurried(0), answers(registrytest.Stall()))
		hiccup := true
		good := pipedRepository(t, hurried(0), func(w http.ResponseWriter, q *http.Request) {
			if hiccup {
				hiccup = false
				<-q.Context().Done()
				return
			}
			_, _ = io.WriteString(w, "content")
		})
		download := func() (took time.Duration) {
			began := time.Now()
			d := NewDownload(anyDigest, int64(len("content")), []*Repository{slow, good})
			defer d.Close()
			body, err := d.Open(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			_ = body.Close()
			return time.Since(began)
		}
		if took := download(); took < 2*time.Second {
			t.Errorf("the first took %s, want both to stall", took)
		}
		for i := range 3 {
			if took := download(); took != 0 {
				t.Errorf("%d more took %s, want the good registry to be asked first", i+1, took)
			}
		}
	})
}
