package wire

import (
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// newCDN starts a host that serves the blobs of a pair's source, and makes the source redirect to
// it.
func newCDN(t *testing.T, p pair) *registrytest.Proxy {
	t.Helper()
	cdn := registrytest.NewProxy(t, &registrytest.Registry{Host: p.source.backend}, registrytest.ProxyOptions{})
	redirectBlobs(p, "http://"+cdn.Host)
	return cdn
}

func redirectBlobs(p pair, base string) {
	p.source.Inject(registrytest.FaultRule{Kind: "GET blob", Fault: registrytest.Redirect(base)})
}

const expired = `<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>`

// The address of a CDN that has lapsed is asked for once more.
func TestLapsedRedirectIsAskedForAgain(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 401, 403, 404, 410} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64"))
			cdn := newCDN(t, p)
			cdn.Inject(registrytest.FaultRule{Kind: "GET blob", Times: 1, Fault: registrytest.Status(status, expired, "WWW-Authenticate", `Bearer realm="http://`+cdn.Host+`/token"`)})
			config := settings()
			config.Retries = 1
			mirrorWith(t, config, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
			wantArrived(t, p, "ci/a:v1", "m/a:v1")
			if n := cdn.Stats().Requests["token"]; n != 0 {
				t.Errorf("the other host was asked for %d tokens", n)
			}
			if at, there := p.source.Stats().Requests["GET blob"], cdn.Stats().Requests["GET blob"]; at != 2 || there != 2 {
				t.Errorf("%d blobs were asked for at the registry and %d elsewhere, want 2 for the one that there is", at, there)
			}
		})
	}
}

// What another host refuses for good is its error, and not that of the registry's credentials.
func TestRefusalOfACDNNamesIt(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64"))
	cdn := newCDN(t, p)
	cdn.Inject(registrytest.FaultRule{Kind: "GET blob", Fault: registrytest.Status(403, expired)})
	got := mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).results[p.destination.Host+"/m/a:v1"]
	if got.Status != stream.Failed || !strings.Contains(got.Error.Message, "which leads to "+cdn.Host) ||
		!strings.Contains(got.Error.Message, "Request has expired") || !strings.Contains(got.Error.Advice, cdn.Host) {
		t.Errorf("the result is %+v with %+v", got, got.Error)
	}
}

// A CDN that is down is not the registry: other images of the registry are still read.
func TestRegistryIsNotDownIfItsCDNIs(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	var lines []string
	want := map[string]string{}
	for _, name := range strings.Split("abcdefghijklmnop", "") {
		push(t, p.source, "ci/"+name+":v1", registrytest.NewImage(registrytest.OCI, name, "amd64"))
		lines = append(lines, line(p, "ci/"+name+":v1", "m/"+name+":v1"))
		want["m/"+name+":v1"] = stream.Failed
	}
	want["m/a:v1"] = stream.Copied
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := listener.Addr().String()
	_ = listener.Close()
	p.source.Inject(registrytest.FaultRule{Kind: "GET blob", Match: func(r *http.Request) bool { return !strings.Contains(r.URL.Path, "/ci/a/") }, Fault: registrytest.Redirect("http://" + dead)})
	config := settings()
	config.Retries, config.Concurrency = 2, 2
	got := mirrorWith(t, config, lines...)
	got.are(t, p.destination, want)
	for name, r := range got.results {
		if r.Error != nil && (!strings.Contains(r.Error.Message, "which leads to "+dead) || !strings.Contains(r.Error.Advice, dead)) {
			t.Errorf("%s failed with %+v, want the other host named", name, r.Error)
		}
	}
}

// A token service that is down does not make its registry count as down.
func TestRegistryIsNotDownIfItsTokenServiceIs(t *testing.T) {
	t.Parallel()
	p := pair{newRegistry(t, &registrytest.Auth{}), newRegistry(t, nil)}
	var lines []string
	for _, name := range strings.Split("abcdefghijkl", "") {
		push(t, p.source, "ci/"+name+":v1", registrytest.NewImage(registrytest.OCI, name, "amd64"))
		lines = append(lines, line(p, "ci/"+name+":v1", "m/"+name+":v1"))
	}
	p.source.Inject(registrytest.FaultRule{Kind: "token", Fault: registrytest.Disconnect()})
	config := settings()
	config.Retries = 2
	for name, r := range mirrorWith(t, config, lines...).results {
		if r.Error == nil || !strings.Contains(r.Error.Message, "getting a token for") || strings.Contains(r.Error.Message, "the registry has answered none") {
			t.Errorf("%s is %s with %+v, want an error of the token service", name, r.Status, r.Error)
		}
	}
}

// Retry-After of another host holds back the request.
func TestRetryAfterOfACDNIsHonored(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64"))
	cdn := newCDN(t, p)
	cdn.Inject(registrytest.FaultRule{Kind: "GET blob", Times: 1, Fault: registrytest.TooManyRequests("1")})
	began := time.Now()
	mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
	wantArrived(t, p, "ci/a:v1", "m/a:v1")
	if took := time.Since(began); took < time.Second {
		t.Errorf("Retry-After was not honored: the run took %s", took)
	}
}
