package registry

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"imagemirror/internal/credentials"
	"imagemirror/internal/reference"
	"imagemirror/internal/regerror"
)

// keys is a CredentialSource that returns what the function returns.
type keys func() credentials.Credential

func (k keys) For(context.Context, reference.Side, string, string) (credentials.Credential, error) {
	return k(), nil
}

func anonymously() credentials.Credential { return credentials.Credential{} }

// repositoryAt returns a source on a server in this process.
func repositoryAt(t *testing.T, host string, config Config, k CredentialSource) *Repository {
	t.Helper()
	c, err := New(config, k)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := reference.Parse(host + "/a/b:v1")
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Source(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// If a server on localhost answers 400 and then hangs, it gets as long as for any answer.
func TestServerThatHangsAfter400IsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := pipedRepository(t, hurried(0), func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			<-r.Context().Done()
		})
		began := time.Now()
		if _, err := r.Head(t.Context(), "v1"); regerror.StatusOf(err) != http.StatusBadRequest {
			t.Errorf("the error is %v, want HTTP 400", err)
		}
		// It hangs twice: when it is asked whether it speaks TLS, and for the manifest itself.
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("it took %s, want two seconds", took)
		}
	})
}

// If a server asks for TLS but never speaks it, the requests end.
func TestServerThatAsksForTLSWithoutSpeakingItIsGivenUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var connections atomic.Int64
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			_, _ = bufio.NewReader(c).ReadByte()
			_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\nContent-Length: 48\r\nConnection: close\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"))
			_ = c.Close()
		}
	}()
	r := repositoryAt(t, l.Addr().String(), Config{Concurrency: 2, Retries: 1, Stall: time.Second}, keys(anonymously))
	if _, err := r.Manifest(t.Context(), "v1"); err == nil {
		t.Error("there is a manifest")
	}
	if n := connections.Load(); n > 3 {
		t.Errorf("it was spoken to %d times for one request", n)
	}
}

// guarded starts a server that requires a token, or a password, and has one manifest.
func guarded(t *testing.T, challenge func(host string) string, authorized func(*http.Request) bool, token http.HandlerFunc) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/token", token)
	mux.HandleFunc("/v2/", func(w http.ResponseWriter, r *http.Request) {
		if !authorized(r) {
			w.Header().Set("WWW-Authenticate", challenge(r.Host))
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestRetryAfterOfATokenServiceIsHonored(t *testing.T) {
	var asked []time.Time
	host := guarded(t, func(host string) string { return `Bearer realm="http://` + host + `/token"` },
		func(r *http.Request) bool { return r.Header.Get("Authorization") != "" },
		func(w http.ResponseWriter, _ *http.Request) {
			asked = append(asked, time.Now())
			if len(asked) == 1 {
				w.Header().Set("Retry-After", "2")
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			_, _ = w.Write([]byte(`{"token":"x"}`))
		})
	r := repositoryAt(t, host, Config{Concurrency: 2, Retries: 2, Stall: 10 * time.Second}, keys(anonymously))
	if _, err := r.Head(t.Context(), "v1"); err != nil {
		t.Error(err)
	}
	if len(asked) != 2 || asked[1].Sub(asked[0]) < 2*time.Second {
		t.Errorf("a token was asked for at %v, want twice, two seconds apart", asked)
	}
}

// Credentials of clouds last for minutes only.
func TestChangedCredentialsAreUsed(t *testing.T) {
	var password atomic.Pointer[string]
	set := func(s string) { password.Store(&s) }
	set("first")
	host := guarded(t, func(string) string { return `Basic realm="x"` },
		func(r *http.Request) bool {
			_, given, _ := r.BasicAuth()
			return given == *password.Load()
		}, http.NotFound)
	r := repositoryAt(t, host, Config{Concurrency: 2, Retries: 1, Stall: 10 * time.Second},
		keys(func() credentials.Credential {
			return credentials.Credential{Username: "u", Password: *password.Load()}
		}))
	for _, p := range []string{"first", "second", "third"} {
		set(p)
		if _, err := r.Head(t.Context(), "v1"); err != nil {
			t.Errorf("with the %s password: %v", p, err)
		}
	}
}
