package registry

import (
	"context"
	"sync"
	"time"

	"imagemirror/internal/credentials"
	"imagemirror/internal/reference"
	"imagemirror/internal/registriesconf"
)

// A stranger is answered soon, or does without an answer.
const (
	strangerTries = 3
	strangerStall = 15 * time.Second // how long a registry may stay silent
	strangerWait  = 5 * time.Second  // the longest wait that a registry may ask for
)

// Stranger returns a client without credentials, which gets what everybody gets. It shares the
// request slots and the rates of c, so that both together keep to its limits. It shares neither
// connections nor tokens. A registry that asks it for fewer requests, or tells it how many pulls
// are left, does not hold back c: some allow strangers fewer than others.
func (c *Client) Stranger() *Client {
	config := c.config
	config.Retries, config.Stall = min(config.Retries, strangerTries), min(config.Stall, strangerStall)
	challenged := make(chan struct{})
	return &Client{
		config: config, conf: c.conf, credentials: noCredentials{}, tls: c.tls, proxies: c.proxies,
		challenged: challenged, sawChallenge: sync.OnceFunc(func() { close(challenged) }),
		hosts: map[hostKey]*host{}, known: c,
	}
}

// noCredentials is a CredentialSource without any.
type noCredentials struct{}

func (noCredentials) For(context.Context, reference.Side, string, string) (credentials.Credential, error) {
	return credentials.Credential{}, nil
}

// isStranger reports whether requests to the host have no credentials whoever runs the program.
func (h *host) isStranger() bool { return h.client.known != nil }

// budget returns the budget of an endpoint's registry: a stranger's is that of the client that it
// was made of.
func (c *Client) budget(e registriesconf.Endpoint, side reference.Side) *budget {
	if c.known != nil {
		return c.known.budget(e, side)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.budgets[e.Registry]
	if b == nil {
		b = newBudget(c.config.Concurrency, c.config.Rate)
		b.host = e.Registry
		c.budgets[e.Registry] = b
	}
	b.use(side)
	return b
}
