package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"imagemirror/internal/registriesconf"
)

// dockerHubHost is where Docker Hub's registry is; docker.io is a web site.
const dockerHubHost = "registry-1.docker.io"

// host is one registry: its connections, its authorization and its budget.
type host struct {
	client   *Client
	endpoint registriesconf.Endpoint // Repository is empty
	address  string                  // host:port that is dialled
	auth     *authorizer
	budget   *budget
	health   health
	scheme   atomic.Pointer[string]
	http     *http.Client // for the registry itself
	outside  *http.Client // for other hosts that the registry leads to

	mounts  mounts
	chunked atomic.Bool // refuses large bodies in one request

	mu    sync.Mutex
	sides map[string]bool
}

func newHost(c *Client, e registriesconf.Endpoint) *host {
	h := &host{client: c, endpoint: e, address: e.Registry, sides: map[string]bool{}}
	h.endpoint.Repository = ""
	if e.Registry == "docker.io" || e.Registry == "index.docker.io" {
		h.address = dockerHubHost
	}
	h.setScheme("https")
	if registriesconf.Localhost(e.Registry) {
		h.setScheme("http")
	}
	h.budget = newBudget(c.config.Concurrency, c.config.Rate)
	h.auth = &authorizer{
		fetch:   h.fetchToken,
		scopes:  math.MaxInt,
		tokens:  map[tokenKey]*token{},
		batches: map[tokenKey]*token{},
		open:    map[batchKey]*token{},
	}
	trust := c.tls.Clone()
	trust.InsecureSkipVerify = e.Insecure && !registriesconf.Localhost(e.Registry) //nolint:gosec // what registries.conf's insecure means
	h.http = &http.Client{Transport: c.transport(trust, nil), CheckRedirect: noRedirect}
	h.outside = &http.Client{Transport: c.transport(c.tls.Clone(), h.refusePrivate), CheckRedirect: noRedirect}
	return h
}

// use notes the side that the registry is on.
func (h *host) use(side string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sides[side] = true
	if len(h.sides) == 2 {
		h.budget.bothWays()
	}
}

// noRedirect leaves redirects to this package, which knows what may go along.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// transport keeps as many connections as there may be requests. guard, where given, may refuse an address that is
// dialled, unless it is that of the proxy that the environment names.
func (c *Client) transport(trust *tls.Config, guard func(address string) error) *http.Transport {
	open := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	dial := open.DialContext
	if guard != nil {
		guarded := *open
		guarded.Control = func(_, address string, _ syscall.RawConn) error { return guard(address) }
		dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if c.proxies[address] {
				return open.DialContext(ctx, network, address)
			}
			return guarded.DialContext(ctx, network, address)
		}
	}
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dial,
		TLSClientConfig:     trust,
		TLSHandshakeTimeout: 15 * time.Second,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: c.config.Concurrency + 1,
		IdleConnTimeout:     90 * time.Second,
		DisableCompression:  true, // blobs are what they are
		ReadBufferSize:      32 << 10,
		WriteBufferSize:     32 << 10,
	}
}

// proxies are the addresses of the proxies that the environment names.
func proxies() map[string]bool {
	found := map[string]bool{}
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		value := os.Getenv(name)
		if !strings.Contains(value, "://") {
			value = "http://" + value
		}
		u, err := url.Parse(value)
		if err != nil || u.Host == "" {
			continue
		}
		port := u.Port()
		if port == "" {
			port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
		}
		found[net.JoinHostPort(u.Hostname(), port)] = true
	}
	return found
}

// url is the address of something in a repository, such as manifests/v1.
func (h *host) url(repository, rest string) *url.URL {
	path := "/v2/" + repository + "/" + rest
	return &url.URL{Scheme: *h.scheme.Load(), Host: h.address, Path: path}
}

// plainHTTP changes to plain HTTP where an insecure registry does not speak TLS, and says whether it did.
func (h *host) plainHTTP(used string, err error) bool {
	var record tls.RecordHeaderError
	if used != "https" || !h.endpoint.Insecure || !errors.As(err, &record) && !strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return false
	}
	h.setScheme("http")
	return true
}

// speaksTLS changes to TLS where a registry on localhost turns out to speak it, and says whether it did. Go's and nginx's
// servers answer plain HTTP on a TLS port with 400 and a sentence; after a HEAD, the registry is asked for that.
func (h *host) speaksTLS(ctx context.Context, used string, method string, e *Error) bool {
	if used != "http" || e.Status != http.StatusBadRequest {
		return false
	}
	said := e.Words
	if method == http.MethodHead {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+h.address+"/v2/", nil)
		if err != nil {
			return false
		}
		resp, err := h.http.Do(req)
		if err != nil {
			return false
		}
		_, said = words(resp)
		discard(resp)
	}
	said = strings.ToLower(said)
	if !strings.Contains(said, "http request to an https server") && !strings.Contains(said, "http request was sent to https port") {
		return false
	}
	h.setScheme("https")
	return true
}

func (h *host) setScheme(scheme string) { h.scheme.Store(&scheme) }

// httpFor chooses the connections for an address that the registry gave: its own for the registry, and for any
// other host those that go to no private address.
func (h *host) httpFor(u *url.URL) *http.Client {
	if u.Host == h.address {
		return h.http
	}
	return h.outside
}

// mayLead refuses an address, given by the registry, that would lead a request from a public registry to a private
// host: a machine's metadata service, or something in the cluster. Names are judged when they are dialled.
func (h *host) mayLead(u *url.URL) error {
	if u.Host == h.address {
		return nil
	}
	if strings.EqualFold(u.Hostname(), "localhost") {
		return h.refusePrivate("127.0.0.1")
	}
	return h.refusePrivate(u.Hostname())
}

func (h *host) refusePrivate(address string) error {
	name, _, err := net.SplitHostPort(address)
	if err != nil {
		name = address
	}
	if ip := net.ParseIP(strings.Trim(name, "[]")); ip == nil || !private(ip) || h.isPrivate() {
		return nil
	}
	return hopelessError{wrongAnswer("it leads to the private address %s, where a public registry has no business", address)}
}

// isPrivate says whether the registry itself is at a private address; then it may lead to others.
func (h *host) isPrivate() bool {
	name := h.address
	if n, _, err := net.SplitHostPort(name); err == nil {
		name = n
	}
	name = strings.Trim(name, "[]")
	ips, err := net.LookupIP(name)
	if err != nil {
		return false
	}
	for _, ip := range ips {
		if private(ip) {
			return true
		}
	}
	return false
}

func private(ip net.IP) bool {
	return ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsLinkLocalMulticast() || ip.IsUnspecified()
}

// hopelessError is an error that another try will not change.
type hopelessError struct{ error }

func (e hopelessError) Unwrap() error { return e.error }

// hopeless says whether asking again is of no use: a name that does not exist, a certificate that is not trusted.
func hopeless(err error) bool {
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var mine hopelessError
	return errors.As(err, &dns) && dns.IsNotFound || errors.As(err, &cert) || errors.As(err, &mine)
}
