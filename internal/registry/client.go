// Package registry speaks to container registries (OCI distribution spec 1.1):
// manifests, blobs, uploads, mounts and tags. It sends no request that copying does not
// need: no ping, and no HEAD before a mount. All requests of a process to one registry
// share one budget of request slots.
//
// A call is one logical request. host.do sends it with retries; a callAttempt is one try,
// which may send it again with a token or another scheme; host.send sends it once and
// follows redirects.
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
	"strings"
	"sync"
	"time"

	"imagemirror/internal/auth"
	"imagemirror/internal/bounds"
	"imagemirror/internal/credentials"
	"imagemirror/internal/reference"
	"imagemirror/internal/regerror"
	"imagemirror/internal/registriesconf"
	"imagemirror/internal/smallfile"
)

// Config is the part of the environment that is about registries.
type Config struct {
	Concurrency    int           `default:"16" desc:"concurrent requests per registry"`
	Rate           float64       `default:"0" desc:"requests per second to one registry; 0 is no limit"`
	Retries        int           `default:"10" desc:"attempts per request on timeouts, 408, 429 and 5xx"`
	Stall          time.Duration `default:"60s" desc:"how long a registry may stay silent, or a transfer stand still"`
	MinRate        int64         `split_words:"true" default:"16384" desc:"least bytes per second of a transfer, on average over MIRROR_STALL; 0 is any"`
	RegistriesConf string        `split_words:"true" desc:"containers-registries.conf(5) file: locations, mirrors, insecure and blocked registries"`
	CAFile         string        `envconfig:"CA_FILE" desc:"PEM file with certificate authorities to trust besides the system's"`
	RegistriesDir  string        `split_words:"true" desc:"directory with registries.conf and ca.pem, used when MIRROR_REGISTRIES_CONF and MIRROR_CA_FILE are unset"`
}

// fromDirectory sets RegistriesConf and CAFile to the files in RegistriesDir, if they
// are unset. It refuses a directory that has only other files: one of them may be meant.
func (c Config) fromDirectory() (Config, error) {
	known := map[string]*string{"registries.conf": &c.RegistriesConf, "ca.pem": &c.CAFile}
	if c.RegistriesDir == "" || c.RegistriesConf != "" && c.CAFile != "" {
		return c, nil
	}
	entries, _ := os.ReadDir(c.RegistriesDir) // a ConfigMap that is optional
	other, found := "", false
	for _, e := range entries {
		file, is := known[e.Name()]
		switch {
		case is:
			*file = cmp.Or(*file, filepath.Join(c.RegistriesDir, e.Name()))
			found = true
		// Kubernetes' own links in a volume are hidden.
		case other == "" && !strings.HasPrefix(e.Name(), "."):
			other = e.Name()
		}
	}
	if other != "" && !found {
		return c, fmt.Errorf("MIRROR_REGISTRIES_DIR is %q, which has %.100q and neither registries.conf nor ca.pem: rename it", c.RegistriesDir, other)
	}
	return c, nil
}

func (c Config) check() error {
	switch {
	case c.Concurrency < 1 || c.Concurrency > bounds.Concurrency:
		return fmt.Errorf("MIRROR_CONCURRENCY is %d: give a number from 1 to %d", c.Concurrency, bounds.Concurrency)
	case !(c.Rate >= 0) || math.IsInf(c.Rate, 1):
		return fmt.Errorf("MIRROR_RATE is %g: give a number of requests a second, or 0", c.Rate)
	case c.Retries < 1 || c.Retries > bounds.Retries:
		return fmt.Errorf("MIRROR_RETRIES is %d: give a number from 1 to %d", c.Retries, bounds.Retries)
	case c.Stall < time.Second:
		return fmt.Errorf("MIRROR_STALL is %s: give at least 1s", c.Stall)
	case c.MinRate < 0:
		return fmt.Errorf("MIRROR_MIN_RATE is %d: give a number of bytes a second, or 0", c.MinRate)
	}
	return nil
}

// CredentialSource finds the credential for a repository. The zero Credential is
// anonymous.
type CredentialSource interface {
	For(ctx context.Context, side reference.Side, registry, repository string) (credentials.Credential, error)
}

// A Client speaks to any number of registries. It is safe for concurrent use.
type Client struct {
	config      Config
	conf        *registriesconf.Config
	credentials CredentialSource
	tls         *tls.Config
	proxies     map[string]bool // host:port

	challenged   chan struct{} // closed when a registry has demanded authentication
	sawChallenge func()        // closes challenged

	tagRoom tagRoom
	known   *Client // that a stranger was made of; otherwise nil

	mu      sync.Mutex
	hosts   map[hostKey]*host
	budgets map[string]*budget // by registry; nil for a stranger
}

// A hostKey tells apart the ways to speak to a registry. registries.conf may allow
// plain HTTP for one prefix of it; the other prefixes and their credentials must not
// use it.
type hostKey struct {
	registry string
	insecure bool
}

// New returns a client. Its errors are about the configuration.
func New(config Config, from CredentialSource) (*Client, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	config, err := config.fromDirectory()
	if err != nil {
		return nil, err
	}
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
	challenged := make(chan struct{})
	return &Client{
		config: config, conf: conf, credentials: from, tls: trust, proxies: proxies(),
		challenged: challenged, sawChallenge: sync.OnceFunc(func() { close(challenged) }),
		hosts: map[hostKey]*host{}, budgets: map[string]*budget{},
	}, nil
}

// maxAuthorities bounds MIRROR_CA_FILE. The authorities of a system have less than 1 MiB.
const maxAuthorities = 16 << 20

func authorities(file string) (*x509.CertPool, error) {
	pem, err := smallfile.Read(file, maxAuthorities)
	if err == nil && len(pem) > maxAuthorities {
		err = fmt.Errorf("%q has more than %d MiB", file, maxAuthorities>>20)
	}
	if err != nil {
		return nil, fmt.Errorf("reading MIRROR_CA_FILE: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("reading MIRROR_CA_FILE: %q has no certificate in PEM form", file)
	}
	return pool, nil
}

// Keep lowers the limits of each registry to inFlight requests and to rate requests per
// second. It ignores a limit of 0. Call it before the client is used.
func (c *Client) Keep(inFlight int, rate float64) {
	if inFlight > 0 {
		c.config.Concurrency = min(c.config.Concurrency, inFlight)
	}
	if rate > 0 && (c.config.Rate == 0 || rate < c.config.Rate) {
		c.config.Rate = rate
	}
}

// Concurrency returns how many requests to one registry may be in flight.
func (c *Client) Concurrency() int { return c.config.Concurrency }

// A Repository is a repository on a registry, as a source or a destination.
type Repository struct {
	side      reference.Side
	name      string         // HOST/PATH, as the mapping file has it
	endpoints []repoEndpoint // in the order in which they are asked; a destination has one
}

// A repoEndpoint is where registries.conf says that a repository is.
type repoEndpoint struct {
	host    *host
	access  auth.Access
	reserve int // pulls that are left to others, or 0: see meter
}

// Source returns a repository to copy from. Its mirrors in registries.conf are asked
// first.
func (c *Client) Source(ctx context.Context, ref reference.Reference) (*Repository, error) {
	endpoints, err := c.conf.Sources(ref)
	if err != nil {
		return nil, &regerror.Error{Side: reference.Source, Name: ref.Name(), Doing: regerror.Locating, Err: err}
	}
	r := &Repository{side: reference.Source, name: ref.Name()}
	for _, e := range endpoints {
		ep, err := c.locate(ctx, e, reference.Source, false)
		if err != nil {
			return nil, &regerror.Error{Side: reference.Source, Name: ref.Name(), Doing: regerror.Locating, Err: err}
		}
		r.endpoints = append(r.endpoints, ep)
	}
	return r, nil
}

// Destination returns a repository to copy to. With push false it is only read.
func (c *Client) Destination(ctx context.Context, ref reference.Reference, push bool) (*Repository, error) {
	e, err := c.conf.Destination(ref)
	if err != nil {
		return nil, &regerror.Error{Side: reference.Destination, Name: ref.Name(), Doing: regerror.Locating, Err: err}
	}
	ep, err := c.locate(ctx, e, reference.Destination, push)
	if err != nil {
		return nil, &regerror.Error{Side: reference.Destination, Name: ref.Name(), Doing: regerror.Locating, Err: err}
	}
	return &Repository{side: reference.Destination, name: ref.Name(), endpoints: []repoEndpoint{ep}}, nil
}

// locate finds the host of an endpoint, and the credential for it.
func (c *Client) locate(ctx context.Context, e registriesconf.Endpoint, side reference.Side, push bool) (repoEndpoint, error) {
	cred, err := c.credentials.For(ctx, side, e.Registry, e.Repository)
	if err != nil {
		return repoEndpoint{}, err
	}
	want := auth.Access{Side: side, Repository: e.Repository, Push: push, Credential: cred, Announced: cred}
	b := c.budget(e, side)
	c.mu.Lock()
	defer c.mu.Unlock()
	key := hostKey{e.Registry, e.Insecure}
	h := c.hosts[key]
	if h == nil {
		h = newHost(c, e, b)
		c.hosts[key] = h
	}
	return repoEndpoint{host: h, access: want}, nil
}

// Retries returns how many attempts a request gets.
func (c *Client) Retries() int { return c.config.Retries }

// Patience returns how long a registry may stay silent.
func (c *Client) Patience() time.Duration { return c.config.Stall }

// LeastRate returns the least rate of a transfer, in bytes per second; 0 is any.
func (c *Client) LeastRate() int64 { return c.config.MinRate }

// Registries returns all registries that the repository may be read from.
func (r *Repository) Registries() []string {
	var all []string
	for _, ep := range r.endpoints {
		all = append(all, ep.host.endpoint.Registry)
	}
	return all
}

// Name returns HOST/PATH, as the mapping file has it.
func (r *Repository) Name() string { return r.name }

// Registry returns the host, or host:port, that registries.conf leads to.
func (r *Repository) Registry() string { return r.endpoints[len(r.endpoints)-1].host.endpoint.Registry }

// Path returns the repository's path on its registry.
func (r *Repository) Path() string { return r.endpoints[len(r.endpoints)-1].access.Repository }

// IsPaused reports whether the repository's registry asked to be left alone for now.
func (r *Repository) IsPaused() bool { return r.endpoints[0].host.budget.isPaused() }

// IsCrowded reports whether requests to the repository's registry wait for a slot.
func (r *Repository) IsCrowded() bool { return r.endpoints[0].host.budget.isCrowded() }

// Announce notes that the repository will be used, with blobs mounted from the given
// paths on its registry. If a process announces everything first, one token serves many
// repositories. Tokens are prefetched until ctx ends, whichever request begins that.
func (r *Repository) Announce(ctx context.Context, from ...string) {
	for _, ep := range r.endpoints {
		ep.host.auth.Announce(ctx, ep.access, from)
	}
}

// An Announcement is a repository that will be used, with blobs mounted from paths on its registry.
type Announcement struct {
	Repository *Repository
	From       []string
}

// AnnounceAll announces repositories as Announce does, in one step for each registry: a request
// that is under way then gets no token with some of them. With prefetch, and if it is known where
// tokens come from, they are asked for at once.
func AnnounceAll(ctx context.Context, list []Announcement, prefetch bool) {
	by := map[*auth.Authorizer][]auth.Announcement{}
	for _, n := range list {
		for _, ep := range n.Repository.endpoints {
			by[ep.host.auth] = append(by[ep.host.auth], auth.Announcement{Want: ep.access, MountFrom: n.From})
		}
	}
	for a, there := range by {
		a.AnnounceAll(ctx, there)
		if prefetch {
			go a.Await(ctx, there[0].Want)
		}
	}
}

// fail returns err as the *regerror.Error of a request to the repository, about a tag
// or digest unless ref is empty. It keeps what err says of itself.
func (r *Repository) fail(err error, doing, ref string) error {
	known, ok := err.(*regerror.Error)
	if !ok {
		known = &regerror.Error{Err: err}
	}
	e := *known
	e.Side = r.side
	if e.Doing == "" {
		e.Doing, e.Ref = doing, ref
	}
	e.Name, e.At = cmp.Or(e.Name, r.name), cmp.Or(e.At, r.Registry())
	return &e
}
