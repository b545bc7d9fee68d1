package registry

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"

	"imagemirror/internal/coding"
)

// pipedRepository returns a repository on a registry at the other end of pipes. In a bubble of
// testing/synctest, time passes only while both wait, however busy the machine is: so a test can
// be exact about it.
func pipedRepository(t *testing.T, config Config, registry http.HandlerFunc) *Repository {
	t.Helper()
	l := &pipes{accepted: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: registry}
	go func() { _ = server.Serve(l) }()
	transport := &http.Transport{DialContext: l.dial, DisableCompression: true}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = server.Shutdown(context.Background()) // waits until handlers see that their clients are gone
	})
	r := repositoryAt(t, "127.0.0.1:5000", config, keys(anonymously))
	client := &http.Client{Transport: coding.Transport(transport), CheckRedirect: noRedirect}
	r.endpoints[0].host.itself = route{small: client, blobs: client}
	return r
}

// pipes are a net.Listener whose connections are pipes.
type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.accepted <- server:
		return client, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepted:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5000} }
