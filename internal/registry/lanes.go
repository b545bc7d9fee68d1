package registry

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
)

// lanes is a RoundTripper for transfers of blobs. Each transfer has a connection to itself:
// HTTP/2 would send all of them over one, whose rate would then be the rate of the run. Over
// HTTP/1.1 net/http does that anyway.
//
// A lane is as many connections as one transfer needs, so one. When the transfer has ended,
// the next one uses it. There are never more lanes than request slots.
type lanes struct {
	open   func() *http.Transport
	shared http.RoundTripper // for servers that speak HTTP/1.1
	most   int               // lanes that are kept idle

	mu    sync.Mutex
	http1 string  // address of the server that answered last over HTTP/1.1
	idle  []*lane // the one used last is at the end
}

// RoundTrip sends a request over a connection of its own. The end of the answer's body frees
// the connection for the next transfer.
func (l *lanes) RoundTrip(req *http.Request) (*http.Response, error) {
	at := withPort(req.URL.Host, req.URL.Scheme)
	used := l.take(at, req.URL.Scheme)
	if used == nil {
		resp, err := l.shared.RoundTrip(req)
		l.learn(at, resp)
		return resp, err
	}
	resp, err := used.transport.RoundTrip(req)
	if err != nil {
		used.close()
		return nil, err
	}
	l.learn(at, resp)
	resp.Body = &laneBody{ReadCloser: resp.Body, left: resp.ContentLength, lanes: l, lane: used}
	return resp, nil
}

// learn notes whether a server speaks HTTP/1.1. A nil answer is no news.
func (l *lanes) learn(at string, resp *http.Response) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case resp == nil:
	case resp.ProtoMajor == 1:
		l.http1 = at
	case l.http1 == at:
		l.http1 = ""
	}
}

// take returns a lane to an address: one that leads there already if possible. It returns nil
// if net/http gives each request a connection of its own.
func (l *lanes) take(at, scheme string) *lane {
	l.mu.Lock()
	defer l.mu.Unlock()
	if scheme == "http" || at == l.http1 {
		return nil
	}
	for i, have := range slices.Backward(l.idle) {
		if have.at == at {
			l.idle = slices.Delete(l.idle, i, i+1)
			return have
		}
	}
	return newLane(l.open(), at)
}

// keep makes a lane available for the next transfer.
func (l *lanes) keep(used *lane) {
	l.mu.Lock()
	l.idle = append(l.idle, used)
	var over *lane
	if len(l.idle) > l.most {
		over, l.idle = l.idle[0], slices.Delete(l.idle, 0, 1)
	}
	l.mu.Unlock()
	if over != nil {
		over.close()
	}
}

// A lane is a connection that one transfer at a time uses.
type lane struct {
	at        string // host:port
	transport *http.Transport

	mu     sync.Mutex
	conn   net.Conn // the last that was opened
	closed bool
}

func newLane(t *http.Transport, at string) *lane {
	l := &lane{at: at, transport: t}
	dial := t.DialContext
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if err := l.opened(conn); err != nil {
			return nil, err
		}
		return conn, nil
	}
	return l
}

// opened notes the lane's connection. A lane that was closed meanwhile needs none.
func (l *lane) opened(conn net.Conn) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn = conn
	if l.closed {
		_ = conn.Close()
		return errors.New("the transfer is over")
	}
	return nil
}

// close closes the connection, whatever is still under way on it. What a transfer that was
// broken off has left in it would delay the next one.
func (l *lane) close() {
	l.transport.CloseIdleConnections()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.conn != nil {
		_ = l.conn.Close()
	}
}

// A laneBody is the body of an answer that came over a lane.
type laneBody struct {
	io.ReadCloser
	left  int64 // bytes to come; negative if unknown
	lanes *lanes
	lane  *lane
	once  sync.Once
}

func (b *laneBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	if err == io.EOF {
		b.once.Do(func() { b.lanes.keep(b.lane) })
	}
	return n, err
}

func (b *laneBody) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(func() {
		if b.left == 0 {
			b.lanes.keep(b.lane)
		} else {
			b.lane.close()
		}
	})
	return err
}
