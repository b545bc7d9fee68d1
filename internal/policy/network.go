package policy

import (
	"net/netip"
	"slices"

	"imagemirror/internal/strictyaml"
)

// A Network is where the pods of all sets may connect to.
type Network struct {
	Ports []int
	CIDRs []netip.Prefix // none are all addresses
}

// maxNetwork bounds the ports, and the CIDRs.
const maxNetwork = 100

// defaultPorts returns those of HTTPS, OpenShift's registry and the API server.
func defaultPorts() []int { return []int{443, 5000, 6443} }

// Network returns the network of the policy, or nil if it has none.
func (p *Policy) Network() *Network { return p.network }

// readNetwork reads the ports, which are TCP, and the addresses.
func (p *Policy) readNetwork(v strictyaml.Value) {
	n := &Network{}
	v.Keys(
		strictyaml.Key{Name: "ports", Read: func(v strictyaml.Value) {
			v.List(func(v strictyaml.Value) {
				port := v.Number(1, 1<<16-1)
				switch {
				case port == 0 || len(n.Ports) > maxNetwork: // refused already
				case slices.Contains(n.Ports, port):
					v.Refuse("port %d is there twice: remove one", port)
				default:
					n.Ports = append(n.Ports, port)
				}
			})
		}},
		strictyaml.Key{Name: "cidrs", Read: func(v strictyaml.Value) {
			v.List(func(v strictyaml.Value) {
				text, ok := v.Text()
				if !ok {
					return
				}
				cidr, err := netip.ParsePrefix(text)
				switch {
				case err != nil:
					v.Refuse("cidr %.100q is not a range of addresses: write ADDRESS/BITS, such as 203.0.113.0/24", text)
				case cidr != cidr.Masked():
					v.Refuse("cidr %s has an address within the range: write %s", cidr, cidr.Masked())
				case slices.Contains(n.CIDRs, cidr):
					v.Refuse("cidr %s is there twice: remove one", cidr)
				default:
					n.CIDRs = append(n.CIDRs, cidr)
				}
			})
		}},
	)
	if len(n.Ports) > maxNetwork || len(n.CIDRs) > maxNetwork {
		v.Refuse("the network has %d ports and %d cidrs: give at most %d of each", len(n.Ports), len(n.CIDRs), maxNetwork)
	}
	if len(n.Ports) == 0 {
		n.Ports = defaultPorts()
	}
	p.network = n
}
