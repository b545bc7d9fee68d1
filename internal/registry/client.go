// Package registry speaks to container registries (OCI distribution spec 1.1): manifests, blobs, uploads, mounts
// and tags. It spends no request that copying does not need: no pings, no HEAD before a mount, tokens that many
// repositories share. Each registry has one budget of requests in flight, which all of a process's work there shares.
package registry

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"

	"imagemirror/internal/auth"
	"imagemirror/internal/credentials"
	"imagemirror/internal/reference"
	"imagemirror/internal/regerror"
	"imagemirror/internal/registriesconf"
	"imagemirror/internal/retry"
)

// Bounds of a Config, which a set's settings keep to as well.
const (
	MaxConcurrency = 1000
	MaxRetries     = 100
)

// Config is what the environment says about registries.
type Config struct {
	Concurrency    int           `default:"16" desc:"requests in flight to one registry"`
	Rate           float64       `default:"0" desc:"requests a second to one registry; 0: as many as it takes"`
	Retries        int           `default:"10" desc:"tries of a request that a registry does not answer well"`
	Stall          time.Duration `default:"60s" desc:"how long a registry may keep silent, or a transfer stand still"`
	RegistriesConf string        `split_words:"true" desc:"containers-registries.conf(5) file: locations, mirrors, insecure and blocked registries"`
	CAFile         string        `envconfig:"CA_FILE" desc:"PEM file with certificate authorities to trust besides the system's"`
	RegistriesDir  string        `split_words:"true" desc:"directory whose registries.conf and ca.pem, if there, are used where the two before are not set"`
}

// fromDirectory names the files of RegistriesDir where no others are named.
func (c Config) fromDirectory() Config {
	for name, file := range map[string]*string{"registries.conf": &c.RegistriesConf, "ca.pem": &c.CAFile} {
		path := filepath.Join(c.RegistriesDir, name)
		if _, err := os.Stat(path); c.RegistriesDir != "" && *file == "" && err == nil {
			*file = path
		}
	}
	return c
}

func (c Config) check() error {
	switch {
	case c.Concurrency < 1 || c.Concurrency > MaxConcurrency:
		return fmt.Errorf("MIRROR_CONCURRENCY is %d: give a number from 1 to %d", c.Concurrency, MaxConcurrency)
	case !(c.Rate >= 0) || math.IsInf(c.Rate, 1):
		return fmt.Errorf("MIRROR_RATE is %g: give a number of requests a second, or 0", c.Rate)
	case c.Retries < 1 || c.Retries > MaxRetries:
		return fmt.Errorf("MIRROR_RETRIES is %d: give a number from 1 to %d", c.Retries, MaxRetries)
	case c.Stall < time.Second:
		return fmt.Errorf("MIRROR_STALL is %s: give at least 1s", c.Stall)
	}
	return nil
}

// CredentialSource finds the credential for a repository. The zero Credential is anonymous.
type CredentialSource interface {
	For(ctx context.Context, side reference.Side, registry, repository string) (credentials.Credential, error)
}

// Client speaks to any number of registries. It is safe for concurrent use.
type Client struct {
	config      Config
	conf        *registriesconf.Config
	credentials CredentialSource
	tls         *tls.Config
	proxies     map[string]bool // host:port

	mu      sync.Mutex
	hosts   map[hostKey]*host
	budgets map[string]*budget // by registry
}

// hostKey tells apart the ways in which a registry is spoken to: registries.conf may allow for one prefix of it what must not
// be done with the others, and their credentials.
type hostKey struct {
	registry string
	insecure bool
}

// New makes a client. Its errors are about the configuration.
func New(config Config, from CredentialSource) (*Client, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	config = config.fromDirectory()
	conf, err := registriesconf.Load(config.RegistriesConf)
	if err != nil {
		return nil, err
	}
	trust := &tls.Config{MinVersion: tls.VersionTLS12}
	if config.CAFile != "" {
		if trust.RootCAs, err = authorities(config.CAFile); err != nil {
			return nil, err
		}
	}
	return &Client{config: config, conf: conf, credentials: from, tls: trust, proxies: proxies(), hosts: map[hostKey]*host{}, budgets: map[string]*budget{}}, nil
}

func authorities(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading MIRROR_CA_FILE: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("MIRROR_CA_FILE %q holds no certificate in PEM form", file)
	}
	return pool, nil
}

// Keep makes the client ask one registry for no more than so many requests in flight, and so many a second, where they are not 0.
// It is called before the client is used.
func (c *Client) Keep(inFlight int, rate float64) {
	if inFlight > 0 {
		c.config.Concurrency = min(c.config.Concurrency, inFlight)
	}
	if rate > 0 && (c.config.Rate == 0 || rate < c.config.Rate) {
		c.config.Rate = rate
	}
}

// Concurrency is the number of requests in flight that each registry gets.
func (c *Client) Concurrency() int { return c.config.Concurrency }

// Repository is a repository on a registry, seen as a source or a destination.
type Repository struct {
	side      reference.Side
	name      string     // as the mapping file has it, HOST/PATH
	locations []location // where it is asked for, in order; a destination has one
}

// location is a repository where registries.conf leads to.
type location struct {
	host   *host
	access auth.Access
}

// Source is a repository to copy from. Where registries.conf names mirrors for it, they are asked first.
func (c *Client) Source(ctx context.Context, ref reference.Reference) (*Repository, error) {
	endpoints, err := c.conf.Sources(ref)
	if err != nil {
		return nil, &regerror.Error{Side: reference.Source, Name: ref.Name(), Doing: regerror.Choosing, Err: err}
	}
	r := &Repository{side: reference.Source, name: ref.Name()}
	for _, e := range endpoints {
		l, err := c.locate(ctx, e, reference.Source, false)
		if err != nil {
			return nil, &regerror.Error{Side: reference.Source, Name: ref.Name(), Doing: regerror.Choosing, Err: err}
		}
		r.locations = append(r.locations, l)
	}
	return r, nil
}

// Destination is a repository to copy to. With push false it is only read.
func (c *Client) Destination(ctx context.Context, ref reference.Reference, push bool) (*Repository, error) {
	e, err := c.conf.Destination(ref)
	if err != nil {
		return nil, &regerror.Error{Side: reference.Destination, Name: ref.Name(), Doing: regerror.Choosing, Err: err}
	}
	l, err := c.locate(ctx, e, reference.Destination, push)
	if err != nil {
		return nil, &regerror.Error{Side: reference.Destination, Name: ref.Name(), Doing: regerror.Choosing, Err: err}
	}
	return &Repository{side: reference.Destination, name: ref.Name(), locations: []location{l}}, nil
}

func (c *Client) locate(ctx context.Context, e registriesconf.Endpoint, side reference.Side, push bool) (location, error) {
	cred, err := c.credentials.For(ctx, side, e.Registry, e.Repository)
	if err != nil {
		return location{}, err
	}
	want := auth.Access{Side: side, Repository: e.Repository, Push: push, Credential: cred, Announced: cred}
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.budgets[e.Registry]
	if b == nil {
		b = newBudget(c.config.Concurrency, c.config.Rate)
		c.budgets[e.Registry] = b
	}
	b.use(side)
	key := hostKey{e.Registry, e.Insecure}
	h := c.hosts[key]
	if h == nil {
		h = newHost(c, e, b)
		c.hosts[key] = h
	}
	return location{host: h, access: want}, nil
}

// Retries returns how many attempts a request gets.
func (c *Client) Retries() int { return c.config.Retries }

// policy returns how the client's requests are retried.
func (c *Client) policy() retry.Policy {
	return retry.Policy{Tries: c.config.Retries, First: 250 * time.Millisecond, Max: 10 * time.Second}
}

// Registries are all that it may be asked for at.
func (r *Repository) Registries() []string {
	var all []string
	for _, l := range r.locations {
		all = append(all, l.host.endpoint.Registry)
	}
	return all
}

// Name is HOST/PATH as the mapping file has it.
func (r *Repository) Name() string { return r.name }

// Registry tells apart the registries that repositories are on.
func (r *Repository) Registry() string { return r.locations[len(r.locations)-1].host.endpoint.Registry }

// Path is the repository's path on its registry.
func (r *Repository) Path() string { return r.locations[len(r.locations)-1].access.Repository }

// Announce says that the repository will be used, with blobs mounted from the given paths on its registry. When
// all that a process will use is announced before it is used, a registry is asked for few tokens.
func (r *Repository) Announce(from ...string) {
	for _, l := range r.locations {
		l.host.auth.Announce(l.access, from)
	}
}

// fail fills in what an error does not know.
func (r *Repository) fail(err error, doing string) error {
	known, ok := err.(*regerror.Error)
	if !ok {
		known = &regerror.Error{Err: err}
	}
	e := *known
	e.Side = r.side
	e.Doing = cmp.Or(e.Doing, doing)
	e.Name = cmp.Or(e.Name, r.name)
	return &e
}
