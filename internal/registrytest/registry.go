// Package registrytest runs real registries on the loopback interface, with proxies before them that count, demand
// credentials and inject faults, and fills them with images of known content. Tests, the demo and the benchmarks
// stand on it: what they measure, a registry of the world has answered.
//
// The functions that begin with Start are for programs; those that take a testing.TB clean up by themselves.
package registrytest

import (
	"bytes"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/registry"
)

// Registry is a running registry that speaks plain HTTP.
type Registry struct {
	Host string // such as 127.0.0.1:41234
	PID  int    // of its process; 0 where it runs within this one

	output *tail
	stop   func()
	once   sync.Once
}

// Close stops the registry and forgets its content, unless that lies in a directory of the caller's.
func (r *Registry) Close() { r.once.Do(r.stop) }

// Output is the end of what the registry logged.
func (r *Registry) Output() string { return r.output.String() }

// StartInProcess starts go-containerregistry's registry within this process. It starts at once, takes any manifest
// and knows no mounts: it answers a mount with an upload session, as a registry does that has not got the blob.
func StartInProcess() *Registry {
	output := &tail{}
	server := httptest.NewServer(registry.New(registry.Logger(log.New(output, "", 0))))
	return &Registry{
		Host:   strings.TrimPrefix(server.URL, "http://"),
		output: output,
		stop: func() {
			server.CloseClientConnections()
			server.Close()
		},
	}
}

// tail keeps the end of what is written to it, in whole lines.
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
