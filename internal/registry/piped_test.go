package registry

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"
)

// pipes are a net.Listener whose connections are pipes in this process. In a bubble of
// testing/synctest, time passes only while both ends wait, however busy the machine is. So a test
// can be exact about times, and about connections: net/http does not keep one whose request was
// not known to be written within 50 ms.
type pipes struct {
	addr     net.Addr // nothing listens there
	accepted chan net.Conn
	closed   chan struct{}
	once     sync.Once

	mu     sync.Mutex
	opened int
}

// newPipedServer returns a server, which has to be started, and how to reach it.
func newPipedServer(handler http.Handler) (*httptest.Server, *pipes) {
	s := httptest.NewUnstartedServer(handler)
	p := &pipes{addr: s.Listener.Addr(), accepted: make(chan net.Conn), closed: make(chan struct{})}
	_ = s.Listener.Close()
	s.Listener = p
	return s, p
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	p.mu.Lock()
	p.opened++
	from := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: p.opened}
	p.mu.Unlock()
	there, back := newFlow(), newFlow()
	select {
	case p.accepted <- &pipe{in: there, out: back, peer: from}:
		return &pipe{in: back, out: there, peer: p.addr}, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept returns the server's end of the next connection.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepted:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and dial. Connections stay open.
func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// Addr returns the server's address.
func (p *pipes) Addr() net.Addr { return p.addr }

// A pipe is one end of a connection. What is written is kept until it is read, as TCP does:
// net/http writes under locks, and nobody who waits for a lock lets time pass.
type pipe struct {
	in, out *flow
	peer    net.Addr
}

func (p *pipe) Read(b []byte) (int, error)  { return p.in.read(b) }
func (p *pipe) Write(b []byte) (int, error) { return p.out.write(b) }

func (p *pipe) Close() error {
	p.out.change(func(f *flow) { f.written = true })
	p.in.change(func(f *flow) { f.deaf = true })
	return nil
}

func (p *pipe) LocalAddr() net.Addr                { return p.peer }
func (p *pipe) RemoteAddr() net.Addr               { return p.peer }
func (p *pipe) SetDeadline(t time.Time) error      { return p.SetReadDeadline(t) }
func (p *pipe) SetWriteDeadline(_ time.Time) error { return nil }

func (p *pipe) SetReadDeadline(t time.Time) error {
	p.in.change(func(f *flow) { f.deadline = t })
	if left := time.Until(t); left > 0 {
		time.AfterFunc(left, func() { p.in.change(func(*flow) {}) })
	}
	return nil
}

// A flow is one direction of a connection.
type flow struct {
	mu       sync.Mutex
	changed  *sync.Cond
	buffer   bytes.Buffer
	written  bool      // the writer has closed its end
	deaf     bool      // the reader has
	deadline time.Time // of reads
}

// inFlow is how many bytes are written before somebody has to read.
const inFlow = 64 << 10

func newFlow() *flow {
	f := &flow{}
	f.changed = sync.NewCond(&f.mu)
	return f
}

func (f *flow) change(how func(f *flow)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	how(f)
	f.changed.Broadcast()
}

func (f *flow) read(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case f.deaf:
			return 0, net.ErrClosed
		case !f.deadline.IsZero() && !time.Now().Before(f.deadline):
			return 0, os.ErrDeadlineExceeded
		case f.buffer.Len() > 0:
			f.changed.Broadcast()
			return f.buffer.Read(b)
		case f.written:
			return 0, io.EOF
		}
		f.changed.Wait()
	}
}

func (f *flow) write(b []byte) (n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for n < len(b) {
		switch room := inFlow - f.buffer.Len(); {
		case f.written:
			return n, net.ErrClosed
		case f.deaf:
			return n, io.ErrClosedPipe
		case room > 0:
			put, _ := f.buffer.Write(b[n:min(len(b), n+room)])
			n += put
			f.changed.Broadcast()
		default:
			f.changed.Wait()
		}
	}
	return n, nil
}

// repository returns a repository on the server at the other end of the pipes.
func (p *pipes) repository(t *testing.T, config Config) *Repository {
	t.Helper()
	r := repositoryAt(t, p.Addr().String(), config, keys(anonymously))
	h := r.endpoints[0].host
	h.itself = h.client.route(h.client.tls, p.dial)
	return r
}

// pipedRepository returns a repository on a registry at the other end of pipes.
func pipedRepository(t *testing.T, config Config, registry http.HandlerFunc) *Repository {
	t.Helper()
	s, p := newPipedServer(registry)
	s.Start()
	t.Cleanup(s.Close)
	return p.repository(t, config)
}
