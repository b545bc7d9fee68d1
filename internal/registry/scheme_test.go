package registry

import (
	"bytes"
	"encoding/pem"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// lockedBuffer is a bytes.Buffer for the log of a server.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), s)
}

// The first request finds out which scheme a registry on localhost speaks. No other request is
// sent in the wrong one.
func TestOnlyTheFirstRequestFindsTheScheme(t *testing.T) {
	const requests = 8
	for _, c := range []struct {
		name      string
		tls       bool
		listed    bool // in registries.conf, as insecure
		wrongHTTP int  // requests in plain HTTP that a TLS server got
		wrongTLS  int  // handshakes that a plain server got
	}{
		{name: "plain HTTP"},
		{name: "plain HTTP and listed", listed: true, wrongTLS: 1},
		{name: "TLS", tls: true, wrongHTTP: 2}, // the HEAD, and the GET whose answer has words
		{name: "TLS and listed", tls: true, listed: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var served, dialed atomic.Int64
			var said lockedBuffer
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				served.Add(1)
				w.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))
			}))
			s.Config.ErrorLog = log.New(&said, "", 0)
			s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					dialed.Add(1)
				}
			}
			if s.EnableHTTP2 = true; c.tls {
				s.StartTLS()
			} else {
				s.Start()
			}
			defer s.Close()
			config := Config{Concurrency: requests, Retries: 1, Stall: patience}
			if c.tls {
				config.CAFile = filepath.Join(t.TempDir(), "ca.pem")
				writeCertificate(t, config.CAFile, s)
			}
			if c.listed {
				config.RegistriesConf = filepath.Join(t.TempDir(), "registries.conf")
				conf := "[[registry]]\nlocation = \"" + s.Listener.Addr().String() + "\"\ninsecure = true\n"
				if err := os.WriteFile(config.RegistriesConf, []byte(conf), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			r := repositoryAt(t, s.Listener.Addr().String(), config, keys(anonymously))
			var all sync.WaitGroup
			for range requests {
				all.Go(func() {
					if _, err := r.Head(t.Context(), "v1"); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			s.Close() // waits for what the server logs after it has answered
			if n := served.Load(); n != requests {
				t.Errorf("%d requests arrived, want %d", n, requests)
			}
			if n := said.count("HTTP request to an HTTPS server"); n != c.wrongHTTP {
				t.Errorf("%d requests were sent in plain HTTP, want %d", n, c.wrongHTTP)
			}
			most := int64(requests + c.wrongTLS)
			if c.tls {
				most = int64(1 + c.wrongHTTP) // HTTP/2
			}
			if n := dialed.Load(); n > most {
				t.Errorf("%d connections were opened, want %d at most", n, most)
			}
		})
	}
}

func writeCertificate(t *testing.T, file string, s *httptest.Server) {
	t.Helper()
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
