package wire

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// connections notes the connection that each request comes over, and can keep blobs in flight
// until there are enough of them.
type connections struct {
	mu    sync.Mutex
	blobs map[string]bool // remote addresses
	small map[string]bool

	most, seen int           // blobs in flight; requests for blobs
	full       chan struct{} // closed when most are in flight
}

// watch makes the registry behind a proxy note its connections.
func watch(p *registrytest.Proxy, most int) *connections {
	c := &connections{blobs: map[string]bool{}, small: map[string]bool{}, most: most, full: make(chan struct{})}
	p.Inject(registrytest.FaultRule{Fault: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if c.note(r) {
				select {
				case <-c.full:
				case <-r.Context().Done():
				}
			}
			next.ServeHTTP(w, r)
		})
	}})
	return c
}

// note reports whether the request has to wait for others: it carries a blob, and more than a
// config up. The first goes alone, so it must not wait.
func (c *connections) note(r *http.Request) (wait bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	get := r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/sha256:")
	put := r.Method == http.MethodPut && r.ContentLength > 128<<10
	if !get && !put {
		c.small[r.RemoteAddr] = true
		return false
	}
	c.blobs[r.RemoteAddr] = true
	if c.seen++; c.seen == c.most+1 {
		close(c.full)
	}
	return c.seen > 1
}

// Over HTTP/2 one connection would do for all requests, and its rate would be that of the run.
func TestBlobsInFlightHaveConnectionsOfTheirOwn(t *testing.T) {
	t.Parallel()
	const inFlight = 6
	remote := func() remoteRegistry {
		r := registrytest.Distribution(t, registrytest.DistributionOptions{})
		return remoteRegistry{registrytest.NewProxy(t, r, registrytest.ProxyOptions{TLS: true, HTTP2: true}), r.Host}
	}
	p := pair{remote(), remote()}
	config := settings()
	config.Concurrency = inFlight
	config.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(config.CAFile, append(p.source.CA(), p.destination.CA()...), 0o600); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for i := range 3 * inFlight {
		name := fmt.Sprintf("ci/image-%d:v1", i)
		push(t, p.source, name, registrytest.NewImage(registrytest.OCI, name, "amd64", registrytest.NewLayer(name, 300_000)))
		lines = append(lines, line(p, name, "m/"+name))
	}
	planned := split(t, config, lines...)
	from, to := watch(p.source.Proxy, inFlight), watch(p.destination.Proxy, inFlight)
	carry(t, config, anonymous{}, planned).allAre(t, stream.Copied)
	for side, c := range map[string]*connections{"source": from, "destination": to} {
		if n := len(c.blobs); n < inFlight || n > inFlight+1 { // one that is just being closed may have a successor
			t.Errorf("%s: blobs came over %d connections, want %d or %d: one for each in flight, used again", side, n, inFlight, inFlight+1)
		}
		if n := len(c.small); n > 1 {
			t.Errorf("%s: small requests came over %d connections, want one", side, n)
		}
	}
	for i := range 3 * inFlight {
		wantArrived(t, p, fmt.Sprintf("ci/image-%d:v1", i), fmt.Sprintf("m/ci/image-%d:v1", i))
	}
}
