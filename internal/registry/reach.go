package registry

import (
	"context"
	"net"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"sync"
	"syscall"

	"imagemirror/internal/addresses"
	"imagemirror/internal/regerror"
)

// A standing is where a registry is, by all addresses that it was found at. One with private
// addresses only may lead to others. A public address makes it public for good: the owner of its
// name can let that mean any address, at any moment.
type standing struct {
	mu      sync.Mutex
	seen    map[addresses.Kind]bool // of its addresses
	outside bool                    // the first look-up found public addresses only
}

// newStanding returns the standing of a registry whose address may be a literal one.
func newStanding(address string) *standing {
	s := &standing{seen: map[addresses.Kind]bool{}}
	if kind := addressKind(address); kind != addresses.Public {
		s.found(kind)
	}
	return s
}

// addressKind returns the kind of a host or host:port, as far as that is known without a look-up.
func addressKind(address string) addresses.Kind {
	name, _, err := net.SplitHostPort(address)
	if err != nil {
		name = address
	}
	return addresses.OfHost(name)
}

// found takes in the addresses of one look-up.
func (s *standing) found(kinds ...addresses.Kind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := len(s.seen) == 0
	for _, kind := range kinds {
		s.seen[kind] = true
	}
	if first {
		s.outside = s.onlyLocked(addresses.Public)
	}
}

// only reports whether the registry has addresses of one kind, and no others.
func (s *standing) only(kind addresses.Kind) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.onlyLocked(kind)
}

// onlyLocked needs the lock mu.
func (s *standing) onlyLocked(kind addresses.Kind) bool { return len(s.seen) == 1 && s.seen[kind] }

// moved reports whether an address cannot be the registry's: its name led outside before.
func (s *standing) moved(kind addresses.Kind) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.outside && kind != addresses.Public
}

// A reach watches what the connections of a route are opened to.
type reach interface {
	// found takes in the addresses of a name.
	found(kinds ...addresses.Kind)
	// judge refuses an address.
	judge(addr netip.Addr) error
}

// own is the reach of a registry.
type own struct{ *standing }

func (o own) judge(addr netip.Addr) error {
	kind := addresses.Of(addr)
	if kind == addresses.Metadata || o.moved(kind) {
		return misled(kind, addr.String())
	}
	return nil
}

// others is the reach of hosts that a registry leads to.
type others struct{ registry *standing }

func (others) found(...addresses.Kind) {}

func (o others) judge(addr netip.Addr) error { return o.refuse(addresses.Of(addr), addr.String()) }

func (o others) refuse(kind addresses.Kind, address string) error {
	if kind == addresses.Public || kind != addresses.Metadata && o.registry.only(kind) {
		return nil
	}
	return misled(kind, address)
}

// mayLead refuses an address, given by a registry, that would lead a request to a place that a
// stranger must not reach: a machine's metadata service, or a service in the cluster. Other
// names are judged when they are dialed, unless a proxy does that.
func (h *host) mayLead(u *url.URL) error {
	if h.at(u) && !h.metadata {
		return nil
	}
	return others{h.standing}.refuse(addresses.OfHost(u.Hostname()), u.Hostname())
}

// misled returns the error of an address that is not connected to.
func misled(kind addresses.Kind, address string) error {
	switch kind {
	case addresses.Metadata:
		return regerror.Permanent(regerror.Malformed("the registry leads to %s, where a cloud gives its machines secrets", address))
	case addresses.Unfit:
		return regerror.Permanent(regerror.Malformed("the registry leads to %s, an address that no server has", address))
	}
	return regerror.Permanent(regerror.Malformed("a public registry leads to the private address %s", address))
}

// A dialFunc opens a connection to an address, as net.Dialer's DialContext does.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// dialer returns how connections are opened. The reach judges each address that a name turns out
// to have, right before it is connected to. The proxies that the environment names are exempt.
func (c *Client) dialer(within reach) dialFunc {
	open := &net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive}
	judged := *open
	judged.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		return within.judge(to.Addr())
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if c.proxies[address] {
			return open.DialContext(ctx, network, address)
		}
		return judged.DialContext(noteLookups(ctx, within), network, address)
	}
}

// noteLookups returns a context in which look-ups of names tell the reach what they find.
func noteLookups(ctx context.Context, within reach) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{DNSDone: func(found httptrace.DNSDoneInfo) {
		var kinds []addresses.Kind
		for _, a := range found.Addrs {
			if addr, ok := netip.AddrFromSlice(a.IP); ok {
				kinds = append(kinds, addresses.Of(addr))
			}
		}
		within.found(kinds...)
	}})
}
