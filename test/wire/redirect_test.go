package wire

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"imagemirror/internal/digest"
	"imagemirror/internal/reference"
	"imagemirror/internal/registry"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// redirected matches requests of a kind that were not redirected yet.
func redirected(kind string, fault registrytest.Fault) registrytest.FaultRule {
	return registrytest.FaultRule{Kind: kind, Match: func(r *http.Request) bool { return !r.URL.Query().Has("hops") }, Fault: fault}
}

// redirect returns a fault that redirects to the same path on a host, or on the same one if
// that is "". A body is read first if late is true, as front servers do that buffer requests.
func redirect(status int, host string, late bool) registrytest.Fault {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if late {
				_, _ = new(bytes.Buffer).ReadFrom(r.Body)
			}
			to := *r.URL
			q := to.Query()
			q.Set("hops", "1")
			to.RawQuery = q.Encode()
			if to.Host = host; host != "" {
				to.Scheme = "http"
			}
			w.Header().Set("Location", to.String())
			w.WriteHeader(status)
		})
	}
}

func TestRedirectsOfUploadsAreFollowed(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"POST mount", "PUT upload", "PUT manifest"} {
		for _, status := range []int{301, 302, 307, 308} {
			for _, late := range []bool{false, true} {
				t.Run(fmt.Sprint(kind, status, late), func(t *testing.T) {
					t.Parallel()
					p := newPair(t)
					push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 300_000)))
					p.destination.Inject(redirected(kind, redirect(status, "", late)))
					p.reset()
					mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
					wantArrived(t, p, "ci/a:v1", "m/a:v1")
					want := map[string]int{"HEAD manifest": 1, "POST mount": 2, "PUT upload": 2, "PUT manifest": 1}
					want[kind] *= 2
					wantRequests(t, p.destination, want)
				})
			}
		}
	}
}

func TestUploadsAreRedirectedToAnotherHostWithoutCredentials(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"POST mount", "PUT upload", "PUT manifest"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p := newPrivatePair(t)
			other := remoteRegistry{registrytest.StartProxy(p.destination.backend, registrytest.ProxyOptions{}), p.destination.backend}
			defer other.Close()
			push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 300_000)))
			p.destination.Inject(redirected(kind, redirect(307, other.Host, false)))
			mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
			wantArrived(t, p, "ci/a:v1", "m/a:v1")
			if len(other.Log()) == 0 {
				t.Error("nothing reached the other host")
			}
			for _, q := range other.Log() {
				if q.Scheme != "" {
					t.Errorf("a %s credential went along a redirect", q.Scheme)
				}
			}
		})
	}
}

// A body that was read before its request was redirected is read again. Later uploads to that
// registry ask before they send.
func TestRedirectedUploadsAskBeforeTheySend(t *testing.T) {
	t.Parallel()
	backend := registrytest.Distribution(t, registrytest.DistributionOptions{})
	for _, o := range []registrytest.ProxyOptions{{}, {TLS: true, HTTP2: true}} {
		askBeforeSending(t, remoteRegistry{registrytest.NewProxy(t, backend, o), backend.Host})
	}
}

func askBeforeSending(t *testing.T, r remoteRegistry) {
	t.Helper()
	// The first body is read before its request is redirected: an answer that came early could
	// find it unread.
	first := redirected("PUT upload", redirect(307, "", true))
	first.Times = 1
	r.Inject(first, redirected("PUT upload", redirect(307, "", false)))
	config := settings()
	if ca := r.CA(); ca != nil {
		config.CAFile = filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(config.CAFile, ca, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := client(t, config)
	for i := range 3 {
		content := bytes.Repeat([]byte{byte(i)}, 300_000)
		body := &rewinder{Reader: *bytes.NewReader(content)}
		if err := beginUpload(t, c, r, content).Put(t.Context(), digest.Of(content), body, int64(len(content))); err != nil {
			t.Fatal(err)
		}
		if want := max(0, 1-i); body.rewound != want {
			t.Errorf("the body of upload %d was read again %d times, want %d", i, body.rewound, want)
		}
	}
	wantRequests(t, r, map[string]int{"POST upload": 3, "PUT upload": 6})
}

func TestRedirectsOfPartsAreFollowed(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	content := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	for _, late := range []bool{false, true} {
		r.Heal()
		r.Inject(redirected("PATCH upload", redirect(307, "", late)))
		up := beginUpload(t, client(t, settings()), r, content)
		for at := 0; at < len(content); at += len(content) / 2 {
			part := content[at : at+len(content)/2]
			if err := up.Patch(t.Context(), &rewinder{Reader: *bytes.NewReader(part)}, int64(at), int64(len(part))); err != nil {
				t.Fatal(err)
			}
		}
		if err := up.Put(t.Context(), digest.Of(content), http.NoBody, 0); err != nil {
			t.Error(err)
		}
	}
}

func beginUpload(t *testing.T, c *registry.Client, r remoteRegistry, content []byte) *registry.Upload {
	t.Helper()
	to, err := c.Destination(t.Context(), reference.Reference{Registry: r.Host, Repository: "m/a"}, true)
	if err != nil {
		t.Fatal(err)
	}
	up, err := to.Begin(t.Context(), digest.Of(content), "")
	if err != nil {
		t.Fatal(err)
	}
	return up
}

// A rewinder is a body in memory.
type rewinder struct {
	bytes.Reader
	rewound int
}

func (r *rewinder) Rewind() error {
	r.rewound++
	_, err := r.Seek(0, 0)
	return err
}

// One of several registries that get a blob at once redirects it.
func TestRedirectOfOneOfSeveralUploads(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	other := newRegistry(t, nil)
	push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 600_000)))
	p.destination.Inject(redirected("PUT upload", redirect(307, "", true)))
	run := mirrorLines(t, fmt.Sprintf("%s/ci/a:v1 %s/m/a:v1 %s/m/a:v1", p.source.Host, p.destination.Host, other.Host))
	run.allAre(t, stream.Copied)
	wantArrived(t, p, "ci/a:v1", "m/a:v1")
	wantArrived(t, pair{p.source, other}, "ci/a:v1", "m/a:v1")
}

func TestChainsOfRedirects(t *testing.T) {
	t.Parallel()
	for hops, status := range map[int]string{6: stream.Copied, 10: stream.Copied, 11: stream.Failed} {
		p := newPair(t)
		push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 300_000)))
		chain := func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				done, _ := strconv.Atoi(r.URL.Query().Get("hops"))
				if done == hops {
					next.ServeHTTP(w, r)
					return
				}
				w.Header().Set("Location", "?"+url.Values{"hops": {strconv.Itoa(done + 1)}}.Encode())
				w.WriteHeader(http.StatusTemporaryRedirect)
			})
		}
		p.source.Inject(registrytest.FaultRule{Kind: "GET blob", Fault: chain})
		got := mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).results[p.destination.Host+"/m/a:v1"]
		if got.Status != status || status == stream.Failed && !strings.Contains(got.Error.Message, "HTTP 307 Temporary Redirect: more than 10 redirects") {
			t.Errorf("%d redirects: the result is %+v with %+v, want %s", hops, got, got.Error, status)
		}
	}
}

// What an upload cannot follow is reported at once, with where it leads.
func TestRedirectsOfUploadsThatLeadAstray(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status   int
		location string
		want     string
	}{
		{301, "/v2/other/place/", "another address"},
		{302, "https://login.example.com/?from=registry", `another address, "https://login.example.com/": only 307 and 308`},
		{303, "/somewhere", "a GET of something else"},
		{307, "", "no Location"},
		{308, "ftp://127.0.0.1/", "invalid Location"},
	} {
		p := newPair(t)
		push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64"))
		p.destination.Inject(registrytest.FaultRule{Kind: "PUT manifest", Fault: registrytest.Status(c.status, "", "Location", c.location)})
		got := mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).results[p.destination.Host+"/m/a:v1"]
		if got.Status != stream.Failed || got.Error.Status != c.status || !strings.Contains(got.Error.Message, c.want) || !strings.Contains(got.Error.Advice, "ask its operators about the redirect") {
			t.Errorf("%d: the result is %+v with %+v, want failed with %q", c.status, got, got.Error, c.want)
		}
		if n := p.destination.Stats().Requests["PUT manifest"]; n != 1 {
			t.Errorf("%d: the manifest was pushed %d times, want once", c.status, n)
		}
	}
}
