package registry

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"imagemirror/internal/digest"
)

const anyDigest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

// blobServer serves blobs over TLS and pipes, and notes the connection that each request came over.
type blobServer struct {
	*httptest.Server
	pipes   *pipes
	content func(w http.ResponseWriter, r *http.Request) // of blobs

	mu    sync.Mutex
	blobs []string // remote addresses of requests for blobs
	other []string // of all other requests
	open  map[net.Conn]bool
}

func newBlobServer(t *testing.T, http2 bool, content http.HandlerFunc) *blobServer {
	t.Helper()
	s := &blobServer{content: content, open: map[net.Conn]bool{}}
	s.Server, s.pipes = newPipedServer(s)
	s.EnableHTTP2 = http2
	s.Config.ConnState = func(c net.Conn, state http.ConnState) {
		s.mu.Lock()
		defer s.mu.Unlock()
		switch state {
		case http.StateNew:
			s.open[c] = true
		case http.StateClosed:
			delete(s.open, c)
		}
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func (s *blobServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	blob := strings.Contains(r.URL.Path, "/blobs/sha256:")
	s.mu.Lock()
	if blob {
		s.blobs = append(s.blobs, r.RemoteAddr)
	} else {
		s.other = append(s.other, r.RemoteAddr)
	}
	s.mu.Unlock()
	if blob {
		s.content(w, r)
		return
	}
	w.Header().Set("Docker-Content-Digest", digest.Of(nil)) // a GET may follow a HEAD without an answer
}

// connections returns how many connections requests came over, those for blobs and all others,
// and how many are open once all that is under way has been done.
func (s *blobServer) connections() (blobs, other, open int) {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return distinct(s.blobs), distinct(s.other), len(s.open)
}

func distinct(all []string) int {
	set := map[string]bool{}
	for _, s := range all {
		set[s] = true
	}
	return len(set)
}

// at returns a repository on the server.
func (s *blobServer) at(t *testing.T) *Repository {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	writeCertificate(t, ca, s.Server)
	r := s.pipes.repository(t, Config{Concurrency: 9, Retries: 2, Stall: patience, CAFile: ca})
	if _, err := r.Head(t.Context(), "v1"); err != nil {
		t.Fatal(err)
	}
	return r
}

// together returns a handler that answers when n requests are in flight.
func together(n int) http.HandlerFunc {
	var here atomic.Int64
	all := make(chan struct{})
	return func(w http.ResponseWriter, r *http.Request) {
		if here.Add(1) == int64(n) {
			close(all)
		}
		select {
		case <-all:
			_, _ = io.WriteString(w, "content")
		case <-r.Context().Done():
		}
	}
}

func fetch(ctx context.Context, r *Repository) error {
	d := NewDownload(anyDigest, int64(len("content")), []*Repository{r})
	defer d.Close()
	body, err := d.Open(ctx, 0)
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(io.Discard, body)
	return err
}

// downloads carries out n downloads side by side, and HEADs in the meantime.
func downloads(t *testing.T, r *Repository, n int) {
	t.Helper()
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			if err := fetch(t.Context(), r); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			if _, err := r.Head(t.Context(), "v1"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestEachBlobInFlightHasAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 8
		s := newBlobServer(t, true, together(n))
		r := s.at(t)
		for range 3 { // the connections are used again
			downloads(t, r, n)
		}
		if blobs, other, open := s.connections(); blobs != n || other != 1 || open != n+1 {
			t.Errorf("blobs came over %d connections, other requests over %d, and %d are open; want %d, 1 and %d", blobs, other, open, n, n+1)
		}
	})
}

func TestHTTP1NeedsNoLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newBlobServer(t, false, together(1))
		r := s.at(t)
		for range 4 { // the first finds out
			if err := fetch(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		if blobs, other, open := s.connections(); blobs != 2 || other != 1 || open != 2 {
			t.Errorf("blobs came over %d connections, other requests over %d, and %d are open; want one for all, and that which found out", blobs, other, open)
		}
	})
}

// A registry that leads to a CDN sends no blobs itself.
func TestRedirectsShareAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 6
		cdn := newBlobServer(t, true, together(1))
		s := newBlobServer(t, true, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, cdn.URL+r.URL.Path, http.StatusTemporaryRedirect)
		})
		r := s.at(t)
		h := r.endpoints[0].host
		h.outside = h.client.route(&tls.Config{InsecureSkipVerify: true}, cdn.pipes.dial) //nolint:gosec // for a test
		if err := fetch(t.Context(), r); err != nil {                                     // finds out
			t.Fatal(err)
		}
		cdn.content = together(n)
		for range 3 {
			downloads(t, r, n)
		}
		if redirects, _, _ := s.connections(); redirects > 2 {
			t.Errorf("redirects came over %d connections, want one, and that which found out", redirects)
		}
		if blobs, _, _ := cdn.connections(); blobs != n {
			t.Errorf("the CDN's blobs came over %d connections, want %d", blobs, n)
		}
	})
}

// What a download that was given up has left in its connection would delay the next one.
func TestDownloadsThatAreGivenUpLeaveNoConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 5
		var begun sync.WaitGroup
		begun.Add(n)
		s := newBlobServer(t, true, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "10000000")
			_, _ = w.Write(make([]byte, 100_000))
			_ = http.NewResponseController(w).Flush()
			begun.Done()
			<-r.Context().Done()
		})
		r := s.at(t)
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range n {
			all.Go(func() {
				if err := fetch(ctx, r); err == nil {
					t.Error("a download that was cut ended without an error")
				}
			})
		}
		begun.Wait()
		cancel()
		all.Wait()
		waitFor(t, func() bool { _, _, open := s.connections(); return open == 1 }, "one connection to be open")
	})
}

// waitFor waits until something is so.
func waitFor(t *testing.T, so func() bool, what string) {
	t.Helper()
	for until := time.Now().Add(patience); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("waited in vain for ", what)
		}
	}
}

// Servers close connections when they like. That costs no blob.
func TestClosedConnectionsAreReplaced(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func(w http.ResponseWriter)
		after  func(s *blobServer)
		most   int
	}{
		{"GOAWAY after each answer", func(w http.ResponseWriter) { w.Header().Set("Connection", "close") }, func(*blobServer) {}, 4},
		{"idle connections are closed", func(http.ResponseWriter) {}, func(s *blobServer) { s.CloseClientConnections() }, 4},
		{"nothing happens", func(http.ResponseWriter) {}, func(*blobServer) {}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newBlobServer(t, true, func(w http.ResponseWriter, _ *http.Request) {
					c.answer(w)
					_, _ = io.WriteString(w, "content")
				})
				r := s.at(t)
				for range 4 {
					if err := fetch(t.Context(), r); err != nil {
						t.Fatal(err)
					}
					c.after(s)
				}
				if blobs, _, _ := s.connections(); blobs > c.most {
					t.Errorf("4 blobs came over %d connections, want at most %d", blobs, c.most)
				}
			})
		})
	}
}

func TestFewerStreamsThanRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 4
		s := newBlobServer(t, true, together(n))
		s.Close()
		s.Server, s.pipes = newPipedServer(s)
		s.EnableHTTP2 = true
		s.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 1}
		s.StartTLS()
		defer s.Close()
		downloads(t, s.at(t), n)
		if blobs, _, _ := s.connections(); blobs != n {
			t.Errorf("%d blobs came over %d connections, want one each", n, blobs)
		}
	})
}

// Not more idle lanes are kept than there are slots, however many hosts they led to.
func TestIdleLanesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 3
		insecure := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // for a test
		client, err := New(Config{Concurrency: most, Retries: 1, Stall: patience}, keys(anonymously))
		if err != nil {
			t.Fatal(err)
		}
		var servers []*blobServer
		all := client.route(insecure, func(ctx context.Context, network, address string) (net.Conn, error) {
			at := slices.IndexFunc(servers, func(s *blobServer) bool { return s.pipes.Addr().String() == address })
			return servers[at].pipes.dial(ctx, network, address)
		}).blobs
		for range most + 2 {
			s := newBlobServer(t, true, together(1))
			servers = append(servers, s)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/v2/a/blobs/"+anyDigest, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := all.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			discard(resp)
		}
		waitFor(t, func() bool {
			total := 0
			for _, s := range servers {
				_, _, open := s.connections()
				total += open
			}
			return total == most
		}, "three connections to be open")
	})
}

// A connection may die without a word, as when a NAT forgets it. That costs the requests that are
// under way on it an attempt, before they stall.
func TestSilentConnectionsAreReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newBlobServer(t, true, together(1))
		ca := filepath.Join(t.TempDir(), "ca.pem")
		writeCertificate(t, ca, s.Server)
		r := s.pipes.repository(t, Config{Concurrency: 9, Retries: 2, Stall: time.Minute, CAFile: ca})
		h := r.endpoints[0].host
		var dead atomic.Bool
		h.itself = h.client.route(h.client.tls, func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := s.pipes.dial(ctx, network, address)
			if dead.Load() {
				return c, err
			}
			return &forgotten{c, &dead}, err
		})
		head := func() {
			if _, err := r.Head(t.Context(), "v1"); err != nil {
				t.Error(err)
			}
		}
		head()
		dead.Store(true)
		began := time.Now()
		var all sync.WaitGroup
		for range 3 {
			all.Go(head)
		}
		all.Wait()
		if took := time.Since(began); took < lostAfter || took >= time.Minute {
			t.Errorf("the answers came after %s, want them before the requests stall", took)
		}
	})
}

// A forgotten connection loses what is written once it is dead.
type forgotten struct {
	net.Conn
	dead *atomic.Bool
}

func (f *forgotten) Write(b []byte) (int, error) {
	if f.dead.Load() {
		return len(b), nil
	}
	return f.Conn.Write(b)
}
