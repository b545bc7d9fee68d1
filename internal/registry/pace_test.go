package registry

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"imagemirror/internal/reference"
	"imagemirror/internal/regerror"
	"imagemirror/internal/registrytest"
)

// dripping is a byte after each pause, which never stands still for a second.
const dripping = 50 * time.Millisecond

// faultyRepository returns a repository on a registry that has a fault. The registry gets
// one attempt, and a second for each answer.
func faultyRepository(t *testing.T, auth *registrytest.Auth, minRate int64, kind string, fault registrytest.Fault) *Repository {
	t.Helper()
	backend := registrytest.Distribution(t, registrytest.DistributionOptions{})
	registrytest.Push(t, backend.Host+"/a/b:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64"))
	p := registrytest.NewProxy(t, backend, registrytest.ProxyOptions{Auth: auth})
	p.Inject(registrytest.FaultRule{Kind: kind, Fault: fault})
	return repositoryAt(t, p.Host, Config{Concurrency: 2, Retries: 1, Stall: time.Second, MinRate: minRate}, keys(anonymously))
}

// A drip never stands still, and ends all the same.
func TestEveryAnswerEnds(t *testing.T) {
	t.Parallel()
	drip := registrytest.Drip(dripping)
	words := func(next http.Handler) http.Handler {
		return drip(registrytest.Status(http.StatusNotFound, strings.Repeat("no such thing ", 100))(next))
	}
	manifest := func(r *Repository) error { _, err := r.Manifest(t.Context(), "v1"); return err }
	for _, c := range []struct {
		name   string
		auth   *registrytest.Auth
		kind   string
		fault  registrytest.Fault
		ask    func(r *Repository) error
		status int
		words  string
	}{
		{"manifest", nil, "GET manifest", drip, manifest, 0, "fewer than 16384 bytes per second"},
		{"list of tags", nil, "GET tags", drip, func(r *Repository) error { _, err := r.Tags(t.Context()); return err }, 0, "fewer than 16384 bytes per second"},
		{"words of 404", nil, "GET manifest", words, manifest, http.StatusNotFound, "no such thing"},
		{"token", &registrytest.Auth{}, "token", drip, manifest, 0, "getting a token"},
		{"words of a token service", &registrytest.Auth{}, "token", words, manifest, http.StatusNotFound, "getting a token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := faultyRepository(t, c.auth, 0, c.kind, c.fault)
			began := time.Now()
			err := c.ask(r)
			if err == nil || regerror.StatusOf(err) != c.status || !strings.Contains(err.Error(), c.words) {
				t.Errorf("got %v, want the status %d and %q", err, c.status, c.words)
			}
			if took := time.Since(began); took > patience {
				t.Errorf("it took %s", took)
			}
		})
	}
}

func TestSlowBlobIsAStallThatNamesRateAndHost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		rate int64
		slow bool
	}{{"below the least rate", 1000, true}, {"above", 5, false}, {"any rate", 0, false}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			const size = 40
			r := faultyRepository(t, nil, c.rate, "GET blob", func(next http.Handler) http.Handler {
				return registrytest.Drip(dripping)(registrytest.Status(http.StatusOK, strings.Repeat("x", size))(next))
			})
			d := NewDownload("sha256:"+strings.Repeat("0", 64), size, []*Repository{r})
			defer d.Close()
			body, err := d.Open(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			got, err := io.ReadAll(body)
			switch slow := regerror.IsSlow(err); {
			case slow != c.slow || !c.slow && err != nil:
				t.Errorf("got %d bytes and %v", len(got), err)
			case slow && !strings.Contains(err.Error(), r.Registry()+" was too slow: fewer than 1000 bytes per second for 1s"):
				t.Errorf("the error is %v", err)
			}
		})
	}
}

func TestSlowUploadIsAStall(t *testing.T) {
	t.Parallel()
	r := faultyRepository(t, nil, 64<<20, "PUT upload", registrytest.SlowUpload(512<<10, 50*time.Millisecond))
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
}

// A slow source does not count against the destination of an upload.
func TestUploadWaitsForItsSource(t *testing.T) {
	t.Parallel()
	backend := registrytest.Distribution(t, registrytest.DistributionOptions{})
	r := repositoryAt(t, backend.Host, Config{Concurrency: 2, Retries: 1, Stall: time.Second, MinRate: 1 << 10}, keys(anonymously))
	up, err := r.Begin(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	slow, w := io.Pipe()
	go func() {
		for range 3 {
			time.Sleep(600 * time.Millisecond)
			_, _ = w.Write([]byte("x"))
		}
		_ = w.Close()
	}()
	if err := up.Put(t.Context(), "sha256:cd2eb0837c9b4c962c22d2ff8b5441b7b45805887f051d39bf133b583baf6860", slow, 3); err != nil {
		t.Error(err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
