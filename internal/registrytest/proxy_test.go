package registrytest

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestProxyCountsRequests(t *testing.T) {
	p := NewProxy(t, Distribution(t, DistributionOptions{}), ProxyOptions{})
	blob := []byte("twelve bytes")
	digest := upload(t, p.Host, "a/b", blob)
	if got := mount(t, p.Host, "c", "a/b", digest); got != http.StatusCreated {
		t.Fatalf("mount: got %d", got)
	}
	target := fmt.Sprintf("http://%s/v2/a/b/blobs/%s", p.Host, digest)
	call(t, http.MethodHead, target, nil)
	call(t, http.MethodGet, target, nil)
	resp, body := call(t, http.MethodGet, target, nil, "Range", "bytes=7-")
	if resp.StatusCode != http.StatusPartialContent || body != "bytes" {
		t.Errorf("range: got %d %q", resp.StatusCode, body)
	}
	want := Stats{
		Requests: map[string]int{"POST upload": 1, "PUT upload": 1, "POST mount": 1, "HEAD blob": 1, "GET blob": 2},
		Down:     12 + 5, Up: 12, BlobDown: 12 + 5, BlobUp: 12,
		MaxInFlight: 1,
		Fetched:     map[RepoBlob]int{{"a/b", digest}: 2},
		Uploaded:    map[RepoBlob]int{{"a/b", digest}: 1},
		Mounted:     map[RepoBlob]int{{"c", digest}: 1},
	}
	if diff := cmp.Diff(want, p.Stats()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := p.Stats().Total(); got != 6 {
		t.Errorf("total: got %d, want 6", got)
	}
	p.Reset()
	if got := p.Stats().Total(); got != 0 || len(p.Log()) != 0 {
		t.Errorf("after Reset there are %d requests and a log of %d", got, len(p.Log()))
	}
}

func TestProxyLogsRequests(t *testing.T) {
	p := NewProxy(t, InProcess(t), ProxyOptions{})
	call(t, http.MethodGet, "http://"+p.Host+"/v2/a/manifests/v1?x=y", nil, "Authorization", "Basic c2VjcmV0", "Accept", "text/plain")
	log := p.Log()
	if len(log) != 1 {
		t.Fatalf("got %d requests, want 1", len(log))
	}
	got := log[0]
	if got.Header.Get("Accept") != "text/plain" || got.Header.Get("Authorization") != "" {
		t.Errorf("header: got %v", got.Header)
	}
	got.Header = nil
	want := Request{Kind: "GET manifest", Method: "GET", Path: "/v2/a/manifests/v1", Query: "x=y", Repo: "a", Ref: "v1", Scheme: "Basic", Status: 404}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestEndpointsOfRequests(t *testing.T) {
	for _, test := range []struct {
		method, target string
		want           operation
	}{
		{"GET", "/v2/", operation{kind: "ping"}},
		{"GET", "/token?scope=repository:a:pull", operation{kind: "token"}},
		{"GET", "/v2/_catalog", operation{kind: "other"}},
		{"GET", "/v2/a/tags/list?n=3", operation{"GET tags", "a", "list"}},
		{"GET", "/v2/a/manifests/b/manifests/c", operation{"GET manifest", "a/manifests/b", "c"}},
		{"POST", "/v2/a/blobs/uploads/", operation{"POST upload", "a", ""}},
		{"POST", "/v2/a/blobs/uploads/?mount=sha256:1&from=b", operation{"POST mount", "a", "sha256:1"}},
		{"PATCH", "/v2/a/blobs/uploads/17?_state=x", operation{"PATCH upload", "a", ""}},
		{"PUT", "/v2/a/blobs/uploads/17?digest=sha256:1", operation{"PUT upload", "a", "sha256:1"}},
		{"GET", "/v2/a/blobs/sha256:1", operation{"GET blob", "a", "sha256:1"}},
	} {
		r, err := http.NewRequest(test.method, test.target, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := operationOf(r); got != test.want {
			t.Errorf("%s %s: got %v, want %v", test.method, test.target, got, test.want)
		}
	}
}

// The answers are larger than the server's buffers. The requests go one after the other first, and
// then all at once.
func TestProxyCountsInFlight(t *testing.T) {
	p := NewProxy(t, InProcess(t), ProxyOptions{})
	digest := upload(t, p.Host, "a", make([]byte, 1<<20))
	target := fmt.Sprintf("http://%s/v2/a/blobs/%s", p.Host, digest)
	for range 100 {
		call(t, http.MethodGet, target, nil)
	}
	if got := p.Stats().MaxInFlight; got != 1 {
		t.Errorf("one after the other: got %d in flight", got)
	}
	const many = 7
	arrived := make(chan struct{})
	open := make(chan struct{})
	p.Inject(FaultRule{Fault: func(next http.Handler) http.Handler {
		arrived <- struct{}{}
		<-open
		return next
	}})
	var all sync.WaitGroup
	for range many {
		all.Go(func() { try(t, http.DefaultClient, http.MethodGet, target, nil) })
	}
	for range many {
		<-arrived
	}
	close(open)
	all.Wait()
	if got := p.Stats().MaxInFlight; got != many {
		t.Errorf("at once: got %d in flight, want %d", got, many)
	}
}

// The answer comes while the request's body is still being sent.
func TestProxyStreamsBodies(t *testing.T) {
	p := NewProxy(t, InProcess(t), ProxyOptions{})
	p.Inject(FaultRule{Fault: func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b := make([]byte, 1)
			for {
				if _, err := r.Body.Read(b); err != nil {
					return
				}
				w.Write(b)
				http.NewResponseController(w).Flush()
			}
		})
	}})
	reader, writer := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+p.Host+"/v2/", reader)
	if err != nil {
		t.Fatal(err)
	}
	go writer.Write([]byte("a"))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got := make([]byte, 1)
	for _, want := range []string{"a", "b"} {
		if _, err := resp.Body.Read(got); err != nil || string(got) != want {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
		go writer.Write([]byte("b"))
	}
	writer.Close()
}

func TestProxyDelaysRequests(t *testing.T) {
	const delay = 30 * time.Millisecond
	p := NewProxy(t, InProcess(t), ProxyOptions{Delay: delay})
	began := time.Now()
	call(t, http.MethodGet, "http://"+p.Host+"/v2/", nil)
	if took := time.Since(began); took < delay {
		t.Errorf("took %v, want at least %v", took, delay)
	}
}

func TestProxySpeaksTLS(t *testing.T) {
	p := NewProxy(t, InProcess(t), ProxyOptions{TLS: true})
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(p.CA()) {
		t.Fatal("CA holds no certificate")
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer client.CloseIdleConnections()
	resp, _, err := try(t, client, http.MethodPost, "https://"+p.Host+"/v2/a/blobs/uploads/", nil)
	if err != nil {
		t.Fatal(err)
	}
	at, err := resp.Location()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(at.String(), "https://"+p.Host+"/v2/a/") {
		t.Errorf("Location: got %q", at)
	}
	if _, _, err := try(t, http.DefaultClient, http.MethodGet, "https://"+p.Host+"/v2/", nil); err == nil {
		t.Error("a client that does not trust the certificate was answered")
	}
}

// Distribution answers with absolute URLs, which must not lead a client past the Proxy.
func TestProxyLeadsLocationsBack(t *testing.T) {
	p := NewProxy(t, Distribution(t, DistributionOptions{}), ProxyOptions{})
	resp, _ := call(t, http.MethodPost, "http://"+p.Host+"/v2/a/blobs/uploads/", nil)
	at, err := resp.Location()
	if err != nil {
		t.Fatal(err)
	}
	if at.Host != p.Host {
		t.Errorf("Location: got %q, want it on %s", at, p.Host)
	}
}

// A registry may answer before the whole body is sent. If something still read the body when the
// connection is used again, net/http would end the whole process with a panic.
func TestAnswersMayComeBeforeTheBody(t *testing.T) {
	registry, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer registry.Close()
	go func() {
		for {
			c, err := registry.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = http.ReadRequest(bufio.NewReader(c))
				_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
				_, _ = io.Copy(io.Discard, c)
			}()
		}
	}()
	p := StartProxy(registry.Addr().String(), ProxyOptions{})
	defer p.Close()
	for range 8 {
		c, err := net.Dial("tcp", p.Host)
		if err != nil {
			t.Fatal(err)
		}
		answers := bufio.NewReader(c)
		for range 3 {
			_, _ = fmt.Fprintf(c, "PUT /v2/a/blobs/uploads/1 HTTP/1.1\r\nHost: %s\r\nContent-Length: 100000\r\n\r\n", p.Host)
			_, _ = c.Write(make([]byte, 50_000))
			resp, err := http.ReadResponse(answers, nil)
			if err != nil {
				break
			}
			if resp.StatusCode != http.StatusBadRequest {
				t.Errorf("the answer is %s", resp.Status)
			}
			_, _ = c.Write(make([]byte, 50_000))
		}
		_ = c.Close()
	}
}
