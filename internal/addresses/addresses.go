// Package addresses tells the addresses of the Internet from those of a network, a machine or a
// cloud of one's own, where a stranger must not lead a request.
package addresses

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
)

// A Kind is what an address is for. A higher one is further from the Internet.
type Kind int

const (
	Public   Kind = iota // a server of the Internet may have it
	Private              // of this machine or a network of one's own: a registry in a lab may have it
	Unfit                // no server has it: for documentation, multicast or protocols
	Metadata             // a cloud gives its machines secrets there
)

// metadata are where clouds answer their machines: AWS, Google and most others; AWS for
// containers and pods; Azure's wire server; Oracle's old service; Alibaba; Tencent; Scaleway.
var metadata = parse(Metadata,
	"169.254.169.254/32", "169.254.170.2/32", "169.254.170.23/32", "168.63.129.16/32", "192.0.0.192/32",
	"100.100.100.200/32", "169.254.0.23/32", "169.254.42.42/32",
	"fd00:ec2::254/128", "fd00:ec2::23/128", "fd20:ce::254/128", "fd00:42::42/128")

// private are the special-purpose blocks in which servers may be
// (https://www.iana.org/assignments/iana-ipv4-special-registry and -ipv6-). Clusters use the
// shared address space and class E, and some VPNs answer every name from the block for
// benchmarks.
var private = parse(Private,
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.168.0.0/16", "198.18.0.0/15", "240.0.0.0/4",
	"::/128", "::1/128", "64:ff9b:1::/48", "fc00::/7", "fe80::/10", "fec0::/10")

// unfit are the other blocks of these registries, and multicast. Of 2001::/23, Teredo is judged
// by what it embeds.
var unfit = parse(Unfit,
	"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "255.255.255.255/32",
	"100::/64", "100:0:0:1::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16", "ff00::/8")

// A block is addresses of one kind.
type block struct {
	netip.Prefix
	kind Kind
}

func parse(kind Kind, prefixes ...string) []block {
	var all []block
	for _, p := range prefixes {
		all = append(all, block{netip.MustParsePrefix(p), kind})
	}
	return all
}

// Of returns the kind of an address. One of IPv6 that stands for one of IPv4 is at least of that
// one's kind.
func Of(addr netip.Addr) Kind {
	addr = addr.WithZone("").Unmap()
	if !addr.IsValid() {
		return Unfit
	}
	embeds := embedded(addr)
	kind := Public
	for _, list := range [][]block{private, unfit, metadata} {
		for _, b := range list {
			if b.Contains(addr) && !(teredo.Contains(addr) && b.kind == Unfit) {
				kind = max(kind, b.kind)
			}
		}
	}
	for _, v4 := range embeds {
		kind = max(kind, Of(v4))
	}
	return kind
}

var (
	teredo     = netip.MustParsePrefix("2001::/32")
	sixToFour  = netip.MustParsePrefix("2002::/16")
	compatible = netip.MustParsePrefix("::/96")
	translated = netip.MustParsePrefix("::ffff:0:0:0/96")
	nat64      = netip.MustParsePrefix("64:ff9b::/96")
	localNAT64 = netip.MustParsePrefix("64:ff9b:1::/48")
)

// embedded returns the addresses of IPv4 that an address of IPv6 leads to: through a gateway
// (RFC 3056, 4380, 6052 and 8215), or as an old way to write them (RFC 4291, section 2.5.5).
func embedded(addr netip.Addr) []netip.Addr {
	if addr.Is4() {
		return nil
	}
	b := addr.As16()
	last := netip.AddrFrom4([4]byte(b[12:]))
	switch {
	case compatible.Contains(addr) && binary.BigEndian.Uint32(b[12:]) > 1, translated.Contains(addr), nat64.Contains(addr):
		return []netip.Addr{last}
	case localNAT64.Contains(addr): // a network may use a prefix of 48 or of 96 bits
		return []netip.Addr{last, netip.AddrFrom4([4]byte{b[6], b[7], b[9], b[10]})}
	case sixToFour.Contains(addr):
		return []netip.Addr{netip.AddrFrom4([4]byte(b[2:6]))}
	case teredo.Contains(addr):
		return []netip.Addr{netip.AddrFrom4([4]byte(b[4:8])), netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]})}
	}
	return nil
}

// metadataNames are the names of the addresses in metadata.
var metadataNames = map[string]bool{
	"metadata": true, "metadata.google.internal": true, "metadata.goog": true, "metadata.tencentyun.com": true,
	"instance-data": true, "instance-data.ec2.internal": true, "metadata.azure.internal": true, "metadata.platformequinix.com": true,
}

// OfHost returns the kind of a URL's host, as far as that is known without a look-up. It is
// Public for a name.
func OfHost(host string) Kind {
	host = strings.TrimRight(strings.ToLower(strings.Trim(host, "[]")), ".")
	addr, err := netip.ParseAddr(host)
	switch {
	case err == nil:
		return Of(addr)
	case metadataNames[host]:
		return Metadata
	case host == "localhost" || strings.HasSuffix(host, ".localhost"):
		return Private
	}
	if addr, ok := legacy(host); ok {
		return Of(addr)
	}
	return Public
}

// legacy reads an address of IPv4 as inet_aton and browsers do, and so some proxies: in one to
// four parts, each decimal, octal or hexadecimal. The last part fills what is left.
func legacy(host string) (netip.Addr, bool) {
	parts := strings.Split(host, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var all uint64
	for i, part := range parts {
		bits := 8
		if i == len(parts)-1 {
			bits = 8 * (4 - i)
		}
		n, err := strconv.ParseUint(part, 0, bits)
		if err != nil || strings.ContainsAny(part, "_ob") {
			return netip.Addr{}, false
		}
		all = all<<bits | n
	}
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(all)))), true
}
