package registrytest

import (
	"net"
	"time"
)

// A NetworkLink is the way to a registry that is far away. Each TCP connection has the round
// trip and the rate. Opening a connection takes no time.
type NetworkLink struct {
	RoundTrip time.Duration
	Rate      int64 // bytes a second in each direction; 0: no limit
}

// A linkListener accepts connections that come over a Link.
type linkListener struct {
	net.Listener
	link NetworkLink
}

func (l linkListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	here, there := net.Pipe()
	go l.link.carry(there, conn)
	go l.link.carry(conn, there)
	return linkConn{here, conn}, nil
}

// A linkConn is the server's end of a connection.
type linkConn struct {
	net.Conn
	client net.Conn
}

func (c linkConn) RemoteAddr() net.Addr { return c.client.RemoteAddr() }
func (c linkConn) LocalAddr() net.Addr  { return c.client.LocalAddr() }

// A parcel is bytes that arrive at a time.
type parcel struct {
	due   time.Time
	bytes []byte
}

// carry takes bytes from one end to the other, and closes that when there are no more.
func (l NetworkLink) carry(to, from net.Conn) {
	const under, ahead = 4096, 5 * time.Millisecond // parcels under way; what a sender's buffers hold
	parcels := make(chan parcel, under)
	go func() {
		defer close(parcels)
		var free time.Time // when the link has room for more
		for {
			b := make([]byte, 16<<10)
			n, err := from.Read(b)
			if now := time.Now(); free.Before(now) {
				free = now
			}
			if l.Rate > 0 {
				free = free.Add(time.Duration(n) * time.Second / time.Duration(l.Rate))
			}
			if n > 0 {
				parcels <- parcel{free.Add(l.RoundTrip / 2), b[:n]}
			}
			if err != nil {
				return
			}
			time.Sleep(time.Until(free) - ahead)
		}
	}()
	for p := range parcels {
		time.Sleep(time.Until(p.due))
		if _, err := to.Write(p.bytes); err != nil {
			break
		}
	}
	_ = to.Close()
	_ = from.Close()
	for range parcels { // the reader ends
	}
}
