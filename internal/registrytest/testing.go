package registrytest

import (
	"archive/tar"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Distribution calls StartDistribution and closes the registry after the test. If the test
// fails, it logs the registry's output.
func Distribution(tb testing.TB, o DistributionOptions) *Registry {
	tb.Helper()
	r, err := StartDistribution(o)
	if err != nil {
		tb.Fatal(err)
	}
	return closeAfter(tb, r)
}

// InProcess calls StartInProcess and closes the registry after the test.
func InProcess(tb testing.TB) *Registry {
	tb.Helper()
	return closeAfter(tb, StartInProcess())
}

func closeAfter(tb testing.TB, r *Registry) *Registry {
	tb.Cleanup(func() {
		r.Close()
		if out := r.Output(); tb.Failed() && out != "" {
			tb.Logf("the registry on %s logged:\n%s", r.Host, out)
		}
	})
	return r
}

// NewProxy calls StartProxy and closes the proxy after the test.
func NewProxy(tb testing.TB, backend *Registry, o ProxyOptions) *Proxy {
	tb.Helper()
	p := StartProxy(backend.Host, o)
	tb.Cleanup(p.Close)
	return p
}

// UnusedPort returns a port of this machine at which nothing listens, for a program that has to be
// told one. Linux gives those below 32768 only to those who ask for them, so that no test that runs
// meanwhile takes the port.
func UnusedPort(tb testing.TB) string {
	tb.Helper()
	for range 100 {
		port := strconv.Itoa(20_000 + rand.IntN(12_768))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			_ = l.Close()
			return port
		}
	}
	tb.Fatal("found no port at which nothing listens")
	return ""
}

// Push calls Write, and ends the test if that fails.
func Push(tb testing.TB, ref string, what remote.Taggable, options ...remote.Option) string {
	tb.Helper()
	digest, err := Write(tb.Context(), ref, what, options...)
	if err != nil {
		tb.Fatal(err)
	}
	return digest
}

// Fill calls w.Write, and ends the test if that fails.
func Fill(tb testing.TB, r *Registry, w Workload) *WorkloadImages {
	tb.Helper()
	c, err := w.Write(tb.Context(), r.Host)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// ImageFiles returns the files of an image by path, without a leading slash and without
// directories.
func ImageFiles(tb testing.TB, img v1.Image) map[string][]byte {
	tb.Helper()
	flat := mutate.Extract(img)
	defer flat.Close()
	files := map[string][]byte{}
	for archive := tar.NewReader(flat); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			tb.Fatal(err)
		}
		if h.Typeflag == tar.TypeDir {
			continue
		}
		if files[strings.TrimPrefix(h.Name, "/")], err = io.ReadAll(archive); err != nil {
			tb.Fatal(err)
		}
	}
}
