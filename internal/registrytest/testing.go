package registrytest

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Distribution is StartDistribution for the time of a test. Where the test fails, it shows what the registry logged.
func Distribution(tb testing.TB, o DistributionOptions) *Registry {
	tb.Helper()
	r, err := StartDistribution(o)
	if err != nil {
		tb.Fatal(err)
	}
	closeAfter(tb, r)
	return r
}

// InProcess is StartInProcess for the time of a test.
func InProcess(tb testing.TB) *Registry {
	tb.Helper()
	r := StartInProcess()
	closeAfter(tb, r)
	return r
}

func closeAfter(tb testing.TB, r *Registry) {
	tb.Cleanup(func() {
		r.Close()
		if out := r.Output(); tb.Failed() && out != "" {
			tb.Logf("the registry on %s logged:\n%s", r.Host, out)
		}
	})
}

// NewProxy is StartProxy for the time of a test.
func NewProxy(tb testing.TB, backend *Registry, o ProxyOptions) *Proxy {
	tb.Helper()
	p := StartProxy(backend.Host, o)
	tb.Cleanup(p.Close)
	return p
}

// Push is Write for a test, which ends where it fails.
func Push(tb testing.TB, ref string, what remote.Taggable, options ...remote.Option) string {
	tb.Helper()
	digest, err := Write(tb.Context(), ref, what, options...)
	if err != nil {
		tb.Fatal(err)
	}
	return digest
}

// Fill is Workload.Write for a test, which ends where it fails.
func Fill(tb testing.TB, r *Registry, w Workload) *Content {
	tb.Helper()
	c, err := w.Write(tb.Context(), r.Host)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}
