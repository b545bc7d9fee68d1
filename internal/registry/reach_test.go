package registry

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"imagemirror/internal/addresses"
)

func TestPublicRegistryMayNotLeadToPrivateAddresses(t *testing.T) {
	for _, c := range []struct {
		registry, to string
		refused      bool
	}{
		{"203.0.113.7", "http://169.254.169.254/latest/meta-data", true},
		{"203.0.113.7", "https://10.0.0.1/token", true},
		{"203.0.113.7", "https://127.0.0.1:8080/token", true},
		{"203.0.113.7", "https://localhost/token", true},
		{"203.0.113.7", "https://[::1]/token", true},
		{"203.0.113.7", "https://[fd00::1]/token", true},
		{"203.0.113.7", "https://0.0.0.0/token", true},
		{"203.0.113.7", "https://198.51.100.1/token", false},
		{"203.0.113.7", "https://203.0.113.7/token", false},
		{"10.1.2.3:5000", "https://10.0.0.1/token", false},
		{"127.0.0.1:5000", "http://127.0.0.1:5001/token", false},

		{"8.8.8.8", "https://100.64.0.1/token", true},
		{"8.8.8.8", "https://198.18.0.1/token", true},
		{"8.8.8.8", "https://192.0.0.192/token", true},
		{"8.8.8.8", "https://168.63.129.16/machine", true},
		{"8.8.8.8", "https://[64:ff9b::a9fe:a9fe]/latest", true},
		{"8.8.8.8", "https://[::ffff:10.0.0.1]:8443/token", true},
		{"8.8.8.8", "https://[2002:7f00:1::]/token", true},
		{"8.8.8.8", "https://203.0.113.7/token", true},
		{"8.8.8.8", "https://[fe80::1%25eth0]/token", true},
		{"8.8.8.8", "https://1.1.1.1/token", false},
		{"8.8.8.8", "https://[64:ff9b::808:808]/token", false},
		{"10.1.2.3:5000", "http://169.254.169.254/latest", true},
		{"10.1.2.3:5000", "http://100.64.0.1/token", false},
		{"127.0.0.1:5000", "http://192.0.0.192/opc", true},
		{"127.0.0.1:5000", "http://224.0.0.1/token", true},
		{"169.254.169.254", "http://169.254.169.254/v2/", true},
	} {
		u, err := url.Parse(c.to)
		if err != nil {
			t.Fatal(err)
		}
		h := testHost(t, c.registry)
		if err := h.mayLead(u); (err != nil) != c.refused {
			t.Errorf("%s leads to %s: %v, want refused %v", c.registry, c.to, err, c.refused)
		}
		addr, err := netip.ParseAddr(u.Hostname())
		if err != nil || u.Host == h.address {
			continue
		}
		if dialed := (others{h.standing}).judge(addr); (dialed != nil) != c.refused {
			t.Errorf("%s dials %s: %v, want refused %v", c.registry, c.to, dialed, c.refused)
		}
	}
}

// Where a proxy looks names up, nothing but the name can be judged.
func TestNamesOfPrivateHostsAreRefused(t *testing.T) {
	for _, to := range []string{
		"http://metadata.google.internal/computeMetadata/v1/", "http://METADATA.google.internal./", "http://instance-data/latest",
		"http://x.localhost/", "http://2130706433/", "http://0x7f.1/", "http://0xa9fea9fe/",
	} {
		u, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		if err := testHost(t, "registry.example.com").mayLead(u); err == nil {
			t.Errorf("a registry may lead to %s", to)
		}
	}
}

func TestStandingIsNeverRegained(t *testing.T) {
	s := newStanding("registry.example.com")
	private, public := addresses.Private, addresses.Public
	for i, step := range []struct {
		found          []addresses.Kind
		private, moved bool
	}{
		{nil, false, false},
		{[]addresses.Kind{private, private}, true, false},
		{[]addresses.Kind{private, public}, false, false},
		{[]addresses.Kind{private}, false, false},
	} {
		s.found(step.found...)
		if s.only(private) != step.private || s.moved(private) != step.moved {
			t.Errorf("step %d: private %v, moved %v, want %+v", i, s.only(private), s.moved(private), step)
		}
	}
	s = newStanding("registry.example.com")
	s.found(public)
	s.found(private)
	if s.only(private) || !s.moved(private) || s.moved(public) {
		t.Error("a public registry's name may lead to a private address later")
	}
}

// A name may mean another address each time that it is looked up. What counts is the address that
// is connected to.
func TestRebindingIsNoticed(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	_, port, _ := net.SplitHostPort(server.Addr().String())
	answerNames(t, map[string][]string{
		"public.test": {"8.8.8.8", "127.0.0.1"}, "lab.test": {"127.0.0.1"}, "cdn.test": {"127.0.0.1"}, "metadata.test": {"169.254.169.254"},
	})
	c, err := New(Config{Concurrency: 4, Retries: 2, Stall: 1e9}, noKeys{})
	if err != nil {
		t.Fatal(err)
	}
	public, lab := newStanding("public.test"), newStanding("lab.test")
	if _, err := net.DefaultResolver.LookupIPAddr(noteLookups(t.Context(), own{public}), "public.test"); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name, to, refused string
		within            reach
	}{
		{"a public registry leads to a name of a private address", "cdn.test", "private address 127.0.0.1", others{public}},
		{"a public registry's own name is private now", "public.test", "private address 127.0.0.1", own{public}},
		{"and it still leads nowhere else", "cdn.test", "private address 127.0.0.1", others{public}},
		{"a registry that was not looked up yet", "cdn.test", "private address 127.0.0.1", others{lab}},
		{"a private registry", "lab.test", "", own{lab}},
		{"a private registry leads to another private address", "cdn.test", "", others{lab}},
		{"a private registry leads to a cloud's metadata", "metadata.test", "169.254.169.254, where a cloud", others{lab}},
		{"a name for a cloud's metadata", "metadata.test", "169.254.169.254, where a cloud", own{newStanding("metadata.test")}},
	} {
		conn, err := c.dialer(step.within)(t.Context(), "tcp4", net.JoinHostPort(step.to, port))
		if conn != nil {
			conn.Close()
		}
		if step.refused == "" && err != nil || step.refused != "" && (err == nil || !strings.Contains(err.Error(), step.refused)) {
			t.Errorf("%s: %v, want %q", step.name, err, step.refused)
		}
	}
}

// answerNames makes the process's resolver answer each look-up of a name with the next of its
// addresses, and with the last from then on.
func answerNames(t *testing.T, names map[string][]string) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	before := net.DefaultResolver
	t.Cleanup(func() {
		net.DefaultResolver = before
		conn.Close()
	})
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(answerName(b[:n], names), from)
		}
	}()
}

// answerName returns the answer to a query (RFC 1035, section 4.1).
func answerName(query []byte, names map[string][]string) []byte {
	var labels []string
	end := 12
	for ; query[end] != 0; end += int(query[end]) + 1 {
		labels = append(labels, string(query[end+1:end+1+int(query[end])]))
	}
	name := strings.Join(labels, ".")
	isA, addrs := query[end+2] == 1, names[name]
	answer := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, query[12:end+5]...)
	if isA && len(addrs) > 0 {
		names[name] = addrs[min(1, len(addrs)-1):]
		answer[7] = 1
		answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
		answer = append(answer, netip.MustParseAddr(addrs[0]).AsSlice()...)
	}
	return answer
}
