package registry

import (
	"cmp"
	"slices"
	"sync/atomic"
)

// Traffic is what was asked of one registry. It counts requests to the hosts that the registry
// leads to, such as its CDN, but none to its token service.
type Traffic struct {
	Host      string // the registry's, with a port if it has one
	Requests  int64  // sent, with retries and redirects
	Retries   int64  // attempts after the first of a request
	Throttled int64  // answers that ask for fewer requests, with 429 or in words
	Bytes     int64  // of bodies, both read and sent
}

// tallies count the traffic of a registry while it goes on.
type tallies struct{ requests, retries, throttled, bytes atomic.Int64 }

// Traffic returns what was asked of each registry so far, by host.
func (c *Client) Traffic() []Traffic {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []Traffic
	for host, b := range c.budgets {
		t := Traffic{host, b.traffic.requests.Load(), b.traffic.retries.Load(), b.traffic.throttled.Load(), b.traffic.bytes.Load()}
		if t.Requests > 0 {
			all = append(all, t)
		}
	}
	slices.SortFunc(all, func(a, b Traffic) int { return cmp.Compare(a.Host, b.Host) })
	return all
}
