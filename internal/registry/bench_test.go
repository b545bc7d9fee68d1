package registry

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"imagemirror/internal/credentials"
	"imagemirror/internal/reference"
)

// BenchmarkBudget takes and releases a slot: without contention, and with more goroutines
// than slots.
func BenchmarkBudget(b *testing.B) {
	b.Run("free", func(b *testing.B) {
		budget := newBudget(16, 0)
		b.ReportAllocs()
		for b.Loop() {
			takeAndGiveBack(b, budget)
		}
	})
	b.Run("contended", func(b *testing.B) {
		budget := newBudget(2, 0)
		b.ReportAllocs()
		b.SetParallelism(16)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				takeAndGiveBack(b, budget)
			}
		})
	})
}

func takeAndGiveBack(b *testing.B, budget *budget) {
	if err := budget.Acquire(b.Context()); err != nil {
		b.Error(err)
	}
	budget.Release()
}

// BenchmarkHead asks for a tag's digest, and compares with a plain HTTP client. Both
// figures include the server, so only their difference counts.
func BenchmarkHead(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))
	}))
	b.Cleanup(s.Close)
	host := strings.TrimPrefix(s.URL, "http://")
	b.Run("client", func(b *testing.B) {
		c, err := New(Config{Concurrency: 16, Retries: 1, Stall: time.Minute}, nobody{})
		if err != nil {
			b.Fatal(err)
		}
		ref, err := reference.Parse(host + "/team/image:v1")
		if err != nil {
			b.Fatal(err)
		}
		r, err := c.Source(b.Context(), ref)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := r.Head(b.Context(), "v1"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("plain", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			resp, err := http.Head("http://" + host + "/v2/team/image/manifests/v1")
			if err != nil {
				b.Fatal(err)
			}
			_ = resp.Body.Close()
		}
	})
}

// nobody is a CredentialSource without credentials.
type nobody struct{}

func (nobody) For(context.Context, reference.Side, string, string) (credentials.Credential, error) {
	return credentials.Credential{}, nil
}
