package wire

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

func TestCustomCertificateAuthorityIsTrusted(t *testing.T) {
	t.Parallel()
	backend := registrytest.Distribution(t, registrytest.DistributionOptions{})
	secure := remoteRegistry{registrytest.NewProxy(t, backend, registrytest.ProxyOptions{TLS: true, Auth: &registrytest.Auth{}}), backend.Host}
	p := pair{newRegistry(t, nil), secure}
	push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 300_000)))
	l := line(p, "ci/a:v1", "m/a:v1")

	run := mirrorLines(t, l)
	got := run.results[secure.Host+"/m/a:v1"]
	if got.Status != stream.Failed || !strings.Contains(got.Error.Message, "certificate") || strings.Contains(got.Error.Message, "attempts") {
		t.Errorf("without the authority the result is %+v with %+v, want failed at once for its certificate", got, got.Error)
	}

	config := settings()
	config.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(config.CAFile, secure.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	mirrorWith(t, config, l).allAre(t, stream.Copied)
	wantArrived(t, p, "ci/a:v1", "m/a:v1")
}

func TestNoMoreRequestsInFlightThanAllowed(t *testing.T) {
	t.Parallel()
	for _, concurrency := range []int{1, 2, 5} {
		// The registries are their own token services, and requests for tokens count.
		p := newPrivatePair(t)
		w := newWorkload(t, p, 45) // more repositories than one token is asked for
		slow := registrytest.FaultRule{Fault: registrytest.Delay(2 * time.Millisecond)}
		p.source.Inject(slow)
		p.destination.Inject(slow)
		p.reset()
		config := settings()
		config.Concurrency = concurrency
		mirrorWith(t, config, w.lines...).allAre(t, stream.Copied)
		for side, r := range map[string]remoteRegistry{"source": p.source, "destination": p.destination} {
			if got := r.Stats().MaxInFlight; got > concurrency {
				t.Errorf("%d requests were in flight at the %s, and %d are allowed", got, side, concurrency)
			}
		}
	}
}

// Registries that are each other's source and destination do not block each other, however few
// requests may be in flight.
func TestRegistriesThatSwapImagesDoNotDeadlock(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	var lines []string
	for _, name := range []string{"a", "b", "c", "d"} {
		image := registrytest.NewImage(registrytest.OCI, name, "amd64", registrytest.NewLayer(name, 1_000_000), registrytest.NewLayer(name+"2", 1_000_000))
		push(t, p.source, "ci/"+name+":v1", image)
		push(t, p.destination, "other/"+name+":v1", registrytest.NewImage(registrytest.OCI, "other"+name, "amd64", registrytest.NewLayer("other"+name, 1_000_000)))
		lines = append(lines, line(p, "ci/"+name+":v1", "m/"+name+":v1"), line(pair{p.destination, p.source}, "other/"+name+":v1", "m/"+name+":v1"))
	}
	for _, concurrency := range []int{1, 3} {
		config := settings()
		config.Concurrency = concurrency
		mirrorWith(t, config, lines...)
	}
	for _, name := range []string{"a", "b", "c", "d"} {
		wantArrived(t, p, "ci/"+name+":v1", "m/"+name+":v1")
		wantArrived(t, pair{p.destination, p.source}, "other/"+name+":v1", "m/"+name+":v1")
	}
}

// A destination that restarts during a run costs time, and no image.
func TestRestartedDestinationCostsNoImage(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	w := newWorkload(t, p, 9)
	p.destination.Inject(registrytest.FaultRule{After: 30, Times: 25, Fault: registrytest.Disconnect()})
	config := settings()
	config.Retries = 10
	mirrorWith(t, config, w.lines...).allAre(t, stream.Copied)
	for _, name := range w.names {
		wantArrived(t, p, name, "mirror/"+name)
	}
}

// The load balancer of quay.io answers with an HTML page, not with the specification's JSON.
func TestHTMLErrorPagesAreReadable(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64"))
	page := "<html>\r\n<head><title>429 Too Many Requests</title></head>\r\n<body><center><h1>429 Too Many Requests</h1></center></body></html>"
	p.destination.Inject(registrytest.FaultRule{Match: func(r *http.Request) bool { return r.Method != http.MethodHead }, Fault: registrytest.Status(429, page)})
	config := settings()
	config.Retries = 2
	got := mirrorWith(t, config, line(p, "ci/a:v1", "m/a:v1")).results[p.destination.Host+"/m/a:v1"]
	if got.Status != stream.Failed || got.Error.Status != 429 || strings.Contains(got.Error.Message, "<") || !strings.Contains(got.Error.Advice, "MIRROR_RATE") {
		t.Errorf("the result is %+v with %+v, want 429 with the page's words and advice", got, got.Error)
	}
}
