// Package registrytest runs real registries on the loopback interface and fills them with
// images of known content. Proxies before them count requests, demand credentials and inject
// faults. Tests, the demo and the benchmarks use it, so real registries answer what they
// measure.
//
// Functions whose names begin with Start are for programs. Those that take a testing.TB clean up by
// themselves.
package registrytest

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"

	"cuelabs.dev/go/oci/ociregistry/ocimem"
	"cuelabs.dev/go/oci/ociregistry/ociserver"
	"github.com/google/go-containerregistry/pkg/registry"
)

// A Registry is a running registry that speaks plain HTTP.
type Registry struct {
	Host string // such as 127.0.0.1:41234
	PID  int    // of its process; 0 if it runs within this one

	output *tail
	stop   func()
	once   sync.Once
}

// Close stops the registry. Its content is lost, unless it is in a directory of the caller's.
func (r *Registry) Close() { r.once.Do(r.stop) }

// Output returns the end of the registry's log.
func (r *Registry) Output() string { return r.output.String() }

// StartInProcess starts go-containerregistry's registry within this process. It starts at once
// and accepts any manifest. It does not mount: it answers with an upload session, like a
// registry that does not have the blob.
func StartInProcess(options ...registry.Option) *Registry {
	output := &tail{}
	logger := registry.Logger(log.New(output, "", 0))
	return serve(registry.New(append(options, logger)...), output)
}

// StartOCIServer starts cue-labs' ociserver within this process, with its content in memory. It
// mounts blobs, checks what manifests refer to, and refuses layers that it does not have, foreign
// ones too.
func StartOCIServer() *Registry {
	return serve(ociserver.New(ocimem.New(), nil), &tail{})
}

func serve(handler http.Handler, output *tail) *Registry {
	server := httptest.NewServer(handler)
	return &Registry{
		Host:   strings.TrimPrefix(server.URL, "http://"),
		output: output,
		stop: func() {
			server.CloseClientConnections()
			server.Close()
		},
	}
}

// A tail keeps the end of what is written to it, in whole lines.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailSize = 4 << 10

var _ io.Writer = (*tail)(nil)

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if len(t.buf) > 2*tailSize {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-tailSize:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	end := t.buf[max(0, len(t.buf)-tailSize):]
	if _, whole, ok := bytes.Cut(end, []byte("\n")); ok && len(end) < len(t.buf) {
		end = whole
	}
	return string(end)
}
