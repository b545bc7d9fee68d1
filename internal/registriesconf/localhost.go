package registriesconf

import (
	"net/netip"
	"strings"
)

// Localhost reports whether a registry, host or host:port, is on this machine:
// localhost, a name below it, or a loopback address. Nobody can read that traffic, so
// plain HTTP is fine.
func Localhost(registry string) bool {
	host := strings.ToLower(registry)
	if addr, ok := strings.CutPrefix(host, "["); ok {
		host, _, _ = strings.Cut(addr, "]")
	} else if strings.Count(host, ":") == 1 {
		host, _, _ = strings.Cut(host, ":")
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
