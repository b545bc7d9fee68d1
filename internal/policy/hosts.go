package policy

import (
	"net"
	"regexp"
	"strings"

	"imagemirror/internal/reference"
	"imagemirror/internal/strictyaml"
)

// Hosts are those that notifications may be sent to, each with a port or for all ports. They may
// have private addresses: the operator names them. None allow any host with a public address.
type Hosts []string

// hostRE matches a host's name in lower case, and an address of IPv4.
var hostRE = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)

func (h *Hosts) read(v strictyaml.Value) {
	if v.Empty() {
		v.Refuse("spec.notify allows nothing: name a host, or leave the key out")
	}
	v.List(func(v strictyaml.Value) {
		text, ok := v.Text()
		if !ok {
			return
		}
		if !IsHost(text) {
			v.Refuse("notify %.100q is not a host: write HOST or HOST:PORT, such as hooks.slack.com", text)
			return
		}
		*h = append(*h, text)
	})
}

// IsHost reports whether text is HOST or HOST:PORT as a policy has them.
func IsHost(text string) bool {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = text, "1"
	}
	return reference.IsPort(port) && hostRE.MatchString(host)
}

// Name reports whether the list has a host by name, whatever the port or with this one.
func (h Hosts) Name(host, port string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	for _, allowed := range h {
		if allowed == host || allowed == net.JoinHostPort(host, port) {
			return true
		}
	}
	return false
}
