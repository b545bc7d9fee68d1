package registry

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
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

// Downloads wait for slots, and a registry may stall meanwhile: then they leave it for another, and
// come back if that fails.
func TestRegistryThatStallsMeanwhileIsAskedLast(t *testing.T) {
	for _, c := range []struct {
		name  string
		other http.HandlerFunc
		slow  int32 // how often the slow registry is asked
	}{
		{"another has the blob", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "content") }, 1},
		{"no other has it", http.NotFound, 4}, // one each, and those that come back
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				config := hurried(0)
				config.Concurrency = 1
				var asked atomic.Int32
				slow := pipedRepository(t, config, func(w http.ResponseWriter, q *http.Request) {
					if asked.Add(1) == 1 {
						<-q.Context().Done()
						return
					}
					_, _ = io.WriteString(w, "content")
				})
				other := pipedRepository(t, config, c.other)
				var downloads [3]*Download
				for i := range downloads {
					downloads[i] = NewDownload(anyDigest, int64(len("content")), []*Repository{slow, other})
				}
				var done sync.WaitGroup
				for _, d := range downloads {
					done.Go(func() {
						defer d.Close()
						body, err := d.Open(t.Context(), 0)
						if err != nil {
							t.Error(err)
							return
						}
						_ = body.Close()
					})
				}
				done.Wait()
				if n := asked.Load(); n != c.slow {
					t.Errorf("the slow registry was asked %d times, want %d", n, c.slow)
				}
			})
		})
	}
}
