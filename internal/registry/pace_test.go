package registry

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"imagemirror/internal/reference"
	"imagemirror/internal/regerror"
	"imagemirror/internal/registrytest"
)

// dripping is the pause before each byte, so 16 bytes come within a second.
const dripping = 60 * time.Millisecond

// answers returns a registry that answers everything alike.
func answers(f registrytest.Fault) http.HandlerFunc { return f(nil).ServeHTTP }

// drips returns an answer that drips.
func drips(status int, body string) registrytest.Fault {
	return func(http.Handler) http.Handler {
		return registrytest.Drip(dripping)(registrytest.Status(status, body)(nil))
	}
}

// hurried returns the settings of one attempt that may stand still for a second.
func hurried(minRate int64) Config {
	return Config{Concurrency: 2, Retries: 1, Stall: time.Second, MinRate: minRate}
}

// A drip never stands still, and ends all the same.
func TestEveryAnswerEnds(t *testing.T) {
	words := drips(http.StatusNotFound, strings.Repeat("no such thing ", 100))
	manifest := func(ctx context.Context, r *Repository) error { _, err := r.Manifest(ctx, "v1"); return err }
	tokenOf := func(f registrytest.Fault) http.HandlerFunc {
		return func(w http.ResponseWriter, q *http.Request) {
			if q.URL.Path == "/token" {
				f(nil).ServeHTTP(w, q)
				return
			}
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+q.Host+`/token"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}
	for _, c := range []struct {
		name     string
		registry http.HandlerFunc
		ask      func(ctx context.Context, r *Repository) error
		status   int
		words    string
		took     time.Duration
	}{
		{"manifest", answers(drips(http.StatusOK, strings.Repeat(" ", 1000))), manifest, 0, "fewer than 16384 bytes per second", time.Second},
		{"list of tags", answers(drips(http.StatusOK, `{"tags":["`+strings.Repeat("x", 1000))), func(ctx context.Context, r *Repository) error { _, err := r.Tags(ctx); return err },
			0, "fewer than 16384 bytes per second", time.Second},
		{"words of 404", answers(words), manifest, http.StatusNotFound, `"no such thing no"`, time.Second},
		{"token", tokenOf(drips(http.StatusOK, `{"token":"`+strings.Repeat("x", 1000))), manifest, 0, "getting a token", time.Second},
		{"words of a token service", tokenOf(words), manifest, http.StatusNotFound, "getting a token", time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := pipedRepository(t, hurried(0), c.registry)
				began := time.Now()
				err := c.ask(t.Context(), r)
				if err == nil || regerror.StatusOf(err) != c.status || !strings.Contains(err.Error(), c.words) {
					t.Errorf("got %v, want the status %d and %q", err, c.status, c.words)
				}
				if took := time.Since(began); took != c.took {
					t.Errorf("it took %s, want %s", took, c.took)
				}
			})
		})
	}
}

// The least rate is exact: 16 bytes per second are not fewer than 16.
func TestSlowBlobIsAStallThatNamesRateAndHost(t *testing.T) {
	for _, c := range []struct {
		name string
		rate int64
		want string // of the error, after the host
	}{
		{"far below the least rate", 1000, " was too slow: fewer than 1000 bytes per second for 1s"},
		{"below", 17, " was too slow: fewer than 17 bytes per second for 1s"},
		{"at it", 16, ""},
		{"any rate", 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const size = 70
				r := pipedRepository(t, hurried(c.rate), answers(drips(http.StatusOK, strings.Repeat("x", size))))
				d := NewDownload("sha256:"+strings.Repeat("0", 64), size, []*Repository{r})
				defer d.Close()
				body, err := d.Open(t.Context(), 0)
				if err != nil {
					t.Fatal(err)
				}
				defer body.Close()
				got, err := io.ReadAll(body)
				switch {
				case c.want == "" && (err != nil || len(got) != size):
					t.Errorf("got %d bytes and %v, want all", len(got), err)
				case c.want != "" && (!regerror.IsSlow(err) || !strings.Contains(err.Error(), r.Registry()+c.want)):
					t.Errorf("got %d bytes and %v, want %q", len(got), err, c.want)
				}
			})
		})
	}
}

// opensUploads returns a registry that opens uploads, and takes them as a handler does.
func opensUploads(put http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) {
		if q.Method == http.MethodPost {
			w.Header().Set("Location", "/v2/a/b/blobs/uploads/1")
			w.WriteHeader(http.StatusAccepted)
			return
		}
		put.ServeHTTP(w, q)
	}
}

func TestSlowUploadIsAStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := pipedRepository(t, hurried(64<<20), opensUploads(registrytest.SlowUpload(512<<10, dripping)(nil)))
		r.side = reference.Destination
		up, err := r.Begin(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		const size = 128 << 20
		err = up.Put(t.Context(), "sha256:"+strings.Repeat("0", 64), io.LimitReader(zeros{}, size), size)
		if !regerror.IsSlow(err) || !strings.Contains(err.Error(), r.Registry()+" was too slow: fewer than 67108864 bytes per second") {
			t.Errorf("got %v", err)
		}
	})
}

// A slow source does not count against the destination of an upload.
func TestUploadWaitsForItsSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := pipedRepository(t, hurried(1<<10), opensUploads(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if got, err := io.ReadAll(q.Body); err != nil || string(got) != "xxx" {
				t.Errorf("the registry gets %q and %v", got, err)
			}
			w.WriteHeader(http.StatusCreated)
		})))
		up, err := r.Begin(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		slow, w := io.Pipe()
		go func() {
			for range 3 {
				time.Sleep(time.Hour)
				_, _ = w.Write([]byte("x"))
			}
			_ = w.Close()
		}()
		if err := up.Put(t.Context(), "sha256:cd2eb0837c9b4c962c22d2ff8b5441b7b45805887f051d39bf133b583baf6860", slow, 3); err != nil {
			t.Error(err)
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
