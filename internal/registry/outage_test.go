package registry_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"imagemirror/internal/credentials"
	"imagemirror/internal/execute"
	"imagemirror/internal/imageset"
	"imagemirror/internal/mirror"
	"imagemirror/internal/plan"
	"imagemirror/internal/progress"
	"imagemirror/internal/reference"
	"imagemirror/internal/registry"
	"imagemirror/internal/stream"
)

// images is how many images a run copies. docs/explanation/engine.md has what 500 take.
var images = flag.Int("images", 24, "images of a run during which a registry hangs")

const (
	source      = "localhost:5001"
	destination = "localhost:5002"
	elsewhere   = "localhost:5003" // the source's CDN and token service
	secure      = "registry.example:443"
)

// A world is a source, a destination and a third host whose connections are pipes, so that time
// passes only while everybody waits. The source has every image: a manifest, a configuration and a
// layer.
type world struct {
	over   chan struct{} // closed when the run is
	broken atomic.Pointer[outage]
	dials  map[string]registry.Dialer
	tokens bool // the source demands them
	cdn    bool // the source leads to elsewhere for blobs

	copied  atomic.Int64 // images
	read    atomic.Int64 // blobs: two for each image
	reached func()       // called when a quarter of the blobs was read
}

// An outage is what is wrong with a host.
type outage struct {
	at  string
	how answer // nil if connections are refused
}

// An answer answers a request other than usual, and reports whether it did.
type answer func(w *world, rw http.ResponseWriter, r *http.Request) bool

func newWorld() *world {
	w := &world{over: make(chan struct{}), dials: map[string]registry.Dialer{}, reached: func() {}}
	w.mend()
	return w
}

func (w *world) fail(at string, how answer) { w.broken.Store(&outage{at, how}) }

func (w *world) mend() { w.broken.Store(&outage{}) }

// start starts a host.
func (w *world) start(at string, usual http.HandlerFunc) (end func()) {
	w.dials[at], end = registry.StartPiped(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		now := w.broken.Load()
		switch {
		case now.at != at:
		case now.how == nil:
			panic(http.ErrAbortHandler)
		case now.how(w, rw, r):
			return
		}
		usual(rw, r)
	}))
	return end
}

func (w *world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if now := w.broken.Load(); now.at == address && now.how == nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	return w.dials[address](ctx, network, address)
}

// hangs never answers.
func hangs(w *world, _ http.ResponseWriter, r *http.Request) bool {
	select {
	case <-r.Context().Done():
	case <-w.over:
	}
	panic(http.ErrAbortHandler)
}

// hangsBut never answers requests, but for those to the host's root and to /v2/.
func hangsBut(w *world, rw http.ResponseWriter, r *http.Request) bool {
	return r.URL.Path != "/" && r.URL.Path != "/v2/" && hangs(w, rw, r)
}

// sendsHeaders sends the beginning of answers only.
func sendsHeaders(w *world, rw http.ResponseWriter, r *http.Request) bool {
	rw.Header().Set("Content-Length", "1000")
	rw.Header().Set("Content-Type", manifestType)
	rw.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(rw).Flush()
	return hangs(w, rw, r)
}

const manifestType = "application/vnd.oci.image.manifest.v1+json"

func digestOf(content string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(content))) }

// contentOf returns the manifest of the only image in a repository, and its blobs by digest.
func contentOf(repository string) (manifest string, blobs map[string]string) {
	config, layer := fmt.Sprintf("{%q:%q}", "of", repository), "the layer of "+repository
	manifest = fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,
		"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},
		"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":%d}]}`,
		manifestType, digestOf(config), len(config), digestOf(layer), len(layer))
	return manifest, map[string]string{digestOf(config): config, digestOf(layer): layer}
}

func (w *world) serveSource(rw http.ResponseWriter, r *http.Request) {
	repository, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/manifests/")
	repository, blob, isBlob := strings.Cut(repository, "/blobs/")
	manifest, blobs := contentOf(repository)
	switch {
	case r.URL.Path == "/token":
		_, _ = io.WriteString(rw, `{"token":"T","expires_in":300}`)
		return
	case w.tokens && r.Header.Get("Authorization") == "" && r.Host == source:
		rw.Header().Set("WWW-Authenticate", `Bearer realm="http://`+elsewhere+`/token",service="registry"`)
		rw.WriteHeader(http.StatusUnauthorized)
		return
	case isBlob && w.cdn && r.Host == source:
		http.Redirect(rw, r, "http://"+elsewhere+r.URL.Path, http.StatusTemporaryRedirect)
		return
	case isBlob:
		manifest = blobs[blob]
		if w.read.Add(1) == int64(*images)/2 {
			w.reached()
		}
	case rest != "v1" && rest != digestOf(manifest):
		http.NotFound(rw, r)
		return
	default:
		rw.Header().Set("Content-Type", manifestType)
		rw.Header().Set("Docker-Content-Digest", digestOf(manifest))
	}
	_, _ = io.WriteString(rw, manifest)
}

func (w *world) serveDestination(rw http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	switch {
	case r.Method == http.MethodPost:
		rw.Header().Set("Location", r.URL.Path+"upload")
		rw.WriteHeader(http.StatusAccepted)
	case r.Method == http.MethodPut:
		if strings.Contains(r.URL.Path, "/manifests/") {
			w.copied.Add(1)
		}
		rw.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodDelete:
		rw.WriteHeader(http.StatusNoContent)
	default:
		http.NotFound(rw, r)
	}
}

type nobody struct{}

func (nobody) For(context.Context, reference.Side, string, string) (credentials.Credential, error) {
	return credentials.Credential{}, nil
}

// client returns a client with the default settings that reaches the world's hosts.
func (w *world) client(t *testing.T, from string) *registry.Client {
	t.Helper()
	c, err := registry.New(registry.Config{Concurrency: 16, Retries: 10, Stall: time.Minute, MinRate: 16 << 10}, nobody{})
	if err != nil {
		t.Fatal(err)
	}
	at, errSource := c.Source(t.Context(), reference.Reference{Registry: from, Repository: "ci/i000"})
	to, errDestination := c.Destination(t.Context(), reference.Reference{Registry: destination, Repository: "m/i000"}, true)
	if err := errors.Join(errSource, errDestination); err != nil {
		t.Fatal(err)
	}
	at.Redial(w.dial)
	to.Redial(w.dial)
	return c
}

// A course is how a run went.
type course struct {
	took time.Duration
	of   []stream.Result
}

// run copies the images from a source, as imagemirror run does.
func (w *world) run(t *testing.T, from string) course {
	t.Helper()
	defer w.start(source, w.serveSource)()
	defer w.start(elsewhere, w.serveSource)()
	defer w.start(destination, w.serveDestination)()
	defer close(w.over)
	var lines strings.Builder
	for i := range *images {
		fmt.Fprintf(&lines, "%s/ci/i%03d:v1 %s/m/i%03d:v1\n", from, i, destination, i)
	}
	file := filepath.Join(t.TempDir(), "mapping_test")
	err := os.WriteFile(file, []byte(lines.String()), 0o600)
	null, errNull := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	input, errInput := imageset.Load([]string{file}, nil)
	if err := errors.Join(err, errNull, errInput); err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	c, began := w.client(t, from), time.Now()
	start := mirror.NewHeadStart(t.Context(), c)
	defer start.Close()
	p, err := plan.Make(t.Context(), plan.Options{Client: c, Ready: start.Open}, input.Sets)
	if err != nil {
		t.Fatal(err)
	}
	work, err := execute.Gather([]*stream.Content{&p.Content})
	if err != nil {
		t.Fatal(err)
	}
	n, size := work.Work()
	display := progress.New(null, slog.New(slog.DiscardHandler), n, size)
	defer display.Close()
	results := work.Run(t.Context(), mirror.Options{Client: c, Start: start, Observer: display, Grace: time.Second})
	took := time.Since(began)
	time.Sleep(2 * time.Minute) // what asks whether the host answers again ends
	return course{took, results.Results}
}

// failed returns how many images failed, and how many of them for a cause.
func (c course) failed(cause string) (n, of int) {
	for _, r := range c.of {
		if r.Error != nil {
			n++
			if strings.Contains(r.Error.Message, cause) {
				of++
			}
		}
	}
	return n, of
}

// With default settings, a run ends soon after a host has begun to hang. A host is silent for a
// minute before it is suspected, and for another until that is certain. With -images 500 and -v
// this test shows what docs/explanation/engine.md has.
func TestHungHostEndsItsImagesSoon(t *testing.T) {
	const down = "the registry has answered none"
	for _, c := range []struct {
		name  string
		at    string
		how   answer
		later bool // it hangs in the middle of the run
		cause string
		most  time.Duration // 260 s if 0: an attempt under way, and one that tries the host again
	}{
		{name: "source", at: source, how: hangs, cause: down},
		{name: "source, later", at: source, how: hangs, later: true, cause: down},
		{name: "destination", at: destination, how: hangs, cause: down},
		{name: "destination, later", at: destination, how: hangs, later: true, cause: down},
		{name: "token service", at: elsewhere, how: hangs, cause: " token "},
		{name: "CDN", at: elsewhere, how: hangs, cause: "which leads to " + elsewhere},
		{name: "TLS handshake", at: secure, how: hangs},
		{name: "bodies", at: source, how: sendsHeaders, cause: down},
		{name: "bodies, later", at: source, how: sendsHeaders, later: true, cause: down},
		{name: "all but /v2/", at: source, how: hangsBut, cause: "answer", most: 20 * time.Minute},
		{name: "connections", at: source, most: time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, from := newWorld(), source
				w.cdn, w.tokens = c.name == "CDN", c.name == "token service"
				switch {
				case c.at == secure:
					from, w.dials[secure] = secure, w.mute
				case c.later:
					w.reached = func() { w.fail(c.at, c.how) }
				default:
					w.fail(c.at, c.how)
				}
				got := w.run(t, from)
				n, of := got.failed(c.cause)
				t.Logf("%s, %d of %d images failed", got.took.Round(time.Second), n, len(got.of))
				if got.took > cmp.Or(c.most, 260*time.Second) || n != of || n+int(w.copied.Load()) != *images || n < *images/4 {
					t.Errorf("after %s %d images had failed, %d of them with %q, and %d were copied", got.took, n, of, c.cause, w.copied.Load())
				}
			})
		})
	}
}

// mute opens a connection on which nobody ever says anything.
func (w *world) mute(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	go func() {
		_, _ = io.Copy(io.Discard, there)
	}()
	go func() {
		<-w.over
		_ = here.Close()
		_ = there.Close()
	}()
	return here, nil
}

// A host that is down for a short time costs no image, however it is: what it was asked meanwhile
// may never be answered.
func TestShortOutageCostsNoImage(t *testing.T) {
	type part struct {
		how   answer
		lasts time.Duration
	}
	for _, c := range []struct {
		name  string
		at    string
		parts []part
	}{
		{"the source restarts", source, []part{{nil, 20 * time.Second}}},
		{"the source hangs", source, []part{{hangs, 110 * time.Second}}},
		{"the source hangs, then restarts", source, []part{{hangs, 80 * time.Second}, {nil, 15 * time.Second}}},
		{"the source sends no bodies", source, []part{{hangs, 30 * time.Second}, {sendsHeaders, 70 * time.Second}}},
		{"the destination restarts", destination, []part{{nil, 20 * time.Second}}},
		{"the destination hangs", destination, []part{{hangs, 110 * time.Second}}},
		{"the destination hangs, then restarts", destination, []part{{hangs, 80 * time.Second}, {nil, 15 * time.Second}}},
		{"the CDN hangs", elsewhere, []part{{hangs, 110 * time.Second}}},
		{"the CDN hangs, then restarts", elsewhere, []part{{hangs, 80 * time.Second}, {nil, 15 * time.Second}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.cdn = c.at == elsewhere
				w.reached = func() {
					after := time.Duration(0)
					for _, p := range c.parts {
						time.AfterFunc(after, func() { w.fail(c.at, p.how) })
						after += p.lasts
					}
					time.AfterFunc(after, w.mend)
				}
				got := w.run(t, source)
				for _, r := range got.of {
					if r.Error != nil {
						t.Errorf("after %s: %+v", got.took, r.Error)
					}
				}
				if got.took < 10*time.Second {
					t.Errorf("the run took %s, and was not held up", got.took)
				}
			})
		})
	}
}

// Images whose requests hang take no others with them.
func TestImagesThatHangFailAlone(t *testing.T) {
	for _, at := range []string{source, destination, elsewhere} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.cdn = at == elsewhere
				w.fail(at, func(w *world, rw http.ResponseWriter, r *http.Request) bool {
					return strings.Contains(r.URL.Path, "/i00") && hangs(w, rw, r)
				})
				got := w.run(t, source)
				if n, own := got.failed("/i00"); n != 10 || own != 10 {
					t.Errorf("%d images failed, %d of them those whose requests hang, want these 10", n, own)
				}
			})
		})
	}
}
