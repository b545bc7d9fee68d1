package addresses

import (
	"net/netip"
	"testing"
)

func TestOf(t *testing.T) {
	for addr, want := range map[string]Kind{
		"8.8.8.8": Public, "1.1.1.1": Public, "172.15.255.255": Public, "172.32.0.0": Public, "100.63.255.255": Public,
		"100.128.0.1": Public, "198.17.255.255": Public, "198.20.0.0": Public, "192.0.1.1": Public, "168.63.129.15": Public,
		"0.0.0.0": Private, "0.1.2.3": Private, "10.1.2.3": Private, "100.64.0.1": Private, "100.127.255.255": Private,
		"127.0.0.1": Private, "127.9.9.9": Private, "169.254.1.1": Private, "172.16.0.1": Private, "172.31.255.255": Private,
		"192.168.1.1": Private, "198.18.0.1": Private, "198.19.255.255": Private, "240.0.0.1": Private,
		"192.0.0.1": Unfit, "192.0.2.1": Unfit, "192.88.99.1": Unfit, "198.51.100.7": Unfit, "203.0.113.7": Unfit,
		"224.0.0.1": Unfit, "239.255.255.255": Unfit, "255.255.255.255": Unfit,
		"169.254.169.254": Metadata, "169.254.170.2": Metadata, "169.254.170.23": Metadata, "168.63.129.16": Metadata,
		"192.0.0.192": Metadata, "100.100.100.200": Metadata,

		"2606:4700::1111": Public, "2a00:1450::1": Public, "64:ff9b::808:808": Public, "2002:808:808::1": Public,
		"2001:0:808:808::f7f7:f7f7": Public, "::ffff:8.8.8.8": Public, "::8.8.8.8": Public,
		"::": Private, "::1": Private, "fc00::1": Private, "fdff::1": Private, "fe80::1%eth0": Private, "fec0::1": Private,
		"64:ff9b::a00:1": Private, "64:ff9b:1::808:808": Private, "2002:a00:1::1": Private, "::ffff:10.0.0.1": Private,
		"::10.0.0.1": Private, "2001:0:808:808::80ff:fffe": Private, "2001:0:a00:1::f7f7:f7f7": Private, "::ffff:0:10.0.0.1": Private,
		"2001:db8::1": Unfit, "3fff::1": Unfit, "100::1": Unfit, "ff02::1": Unfit, "2001:2::1": Unfit, "5f00::1": Unfit,
		"64:ff9b::203.0.113.1": Unfit,
		"fd00:ec2::254":        Metadata, "fd20:ce::254": Metadata, "::ffff:169.254.169.254": Metadata, "64:ff9b::a9fe:a9fe": Metadata,
		"64:ff9b:1::a9fe:a9fe": Metadata, "64:ff9b:1:a9fe:a9:fe00::": Metadata, "2002:a9fe:a9fe::": Metadata, "::169.254.169.254": Metadata,
	} {
		if got := Of(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s is of kind %d, want %d", addr, got, want)
		}
	}
}

func TestOfHost(t *testing.T) {
	for host, want := range map[string]Kind{
		"quay.io": Public, "metadata.example.com": Public, "localhost.example.com": Public, "10.example.com": Public, "8.8.8.8": Public,
		"1.2.3.4.5": Public, "beef": Public, "": Public,
		"localhost": Private, "LOCALHOST.": Private, "a.localhost": Private, "127.0.0.1": Private, "[::1]": Private, "10.0.0.1.": Private,
		"127.1": Private, "2130706433": Private, "0x7f000001": Private, "0177.0.0.1": Private, "0x7f.1": Private, "10.1": Private, "0": Private,
		"2852039166": Metadata, "0xa9.254.0xa9fe": Metadata, "169.254.43518": Metadata,
		"metadata.google.internal": Metadata, "Metadata.Google.Internal.": Metadata, "instance-data": Metadata, "metadata": Metadata,
		"[fd00:ec2::254]": Metadata,
	} {
		if got := OfHost(host); got != want {
			t.Errorf("%q is of kind %d, want %d", host, got, want)
		}
	}
}

func FuzzOfHost(f *testing.F) {
	for _, s := range []string{"127.1", "0x7f.1", "[fe80::1%25x]", "quay.io", "...."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, host string) {
		if addr, err := netip.ParseAddr(host); err == nil && OfHost(host) != Of(addr) {
			t.Errorf("%q is of another kind than its address", host)
		}
	})
}
