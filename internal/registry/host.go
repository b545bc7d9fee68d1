package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"imagemirror/internal/auth"
	"imagemirror/internal/regerror"
	"imagemirror/internal/registriesconf"
)

// dockerHubHost is where Docker Hub's registry is; docker.io is a web site.
const dockerHubHost = "registry-1.docker.io"

// host is one registry, as far as it is spoken to in one way: its connections, its authorization and its budget.
type host struct {
	client   *Client
	endpoint registriesconf.Endpoint // Repository is empty
	address  string                  // host:port that is dialled
	auth     *auth.Authorizer
	budget   *budget
	health   health
	scheme   atomic.Pointer[string]
	http     *http.Client // for the registry itself
	outside  *http.Client // for other hosts that the registry leads to

	mounts  mounts
	chunked atomic.Bool // refuses large bodies in one request
	greeted sync.Once
}

func newHost(c *Client, e registriesconf.Endpoint, b *budget) *host {
	h := &host{client: c, endpoint: e, budget: b, address: e.Registry}
	h.endpoint.Repository = ""
	if e.Registry == "docker.io" || e.Registry == "index.docker.io" {
		h.address = dockerHubHost
	}
	h.setScheme("https")
	if registriesconf.Localhost(e.Registry) {
		h.setScheme("http")
	}
	trust := c.tls.Clone()
	trust.InsecureSkipVerify = e.Insecure //nolint:gosec // what registries.conf's insecure means
	h.http = &http.Client{Transport: c.transport(trust, nil), CheckRedirect: noRedirect}
	h.outside = &http.Client{Transport: c.transport(c.tls.Clone(), h.refusePrivate), CheckRedirect: noRedirect}
	h.auth = auth.New(auth.Config{
		Registry:  e.Registry,
		PlainHTTP: h.allowsPlainHTTP(),
		Timeout:   c.config.Stall,
		Retry:     c.policy(),
		Slots:     b,
		Client:    h.lead,
	})
	return h
}

// lead returns the connections to an address that the registry gave, or why it may not lead there.
func (h *host) lead(ctx context.Context, u *url.URL) (*http.Client, error) {
	if err := h.mayLead(ctx, u); err != nil {
		return nil, err
	}
	return h.httpFor(u), nil
}

// noRedirect leaves redirects to this package, which knows what may go along.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// transport keeps as many connections as there may be requests. guard, where given, may refuse an address that is
// dialled, unless it is that of the proxy that the environment names.
func (c *Client) transport(trust *tls.Config, guard func(ctx context.Context, address string) error) *http.Transport {
	open := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	dial := open.DialContext
	if guard != nil {
		guarded := *open
		guarded.ControlContext = func(ctx context.Context, _, address string, _ syscall.RawConn) error { return guard(ctx, address) }
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

// allowsPlainHTTP reports whether the registry may be spoken to in plain HTTP.
func (h *host) allowsPlainHTTP() bool {
	return h.endpoint.Insecure || registriesconf.Localhost(h.endpoint.Registry)
}

// at says whether an address is on the registry itself, however it is written.
func (h *host) at(u *url.URL) bool {
	return withPort(u.Host, u.Scheme) == withPort(h.address, u.Scheme)
}

// withPort is host:port for a host of a URL, in lower case.
func withPort(host, scheme string) string {
	u := url.URL{Host: strings.ToLower(host)}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// url is the address of something in a repository, such as manifests/v1.
func (h *host) url(repository, rest string) *url.URL {
	path := "/v2/" + repository + "/" + rest
	return &url.URL{Scheme: *h.scheme.Load(), Host: h.address, Path: path}
}

// plainHTTP changes to plain HTTP where an insecure registry does not speak TLS, and says whether it did.
func (h *host) plainHTTP(used string, err error) bool {
	var record tls.RecordHeaderError
	if used != "https" || !h.allowsPlainHTTP() || !errors.As(err, &record) && !strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return false
	}
	h.setScheme("http")
	return true
}

// speaksTLS changes to TLS where a registry on localhost turns out to speak it, and says whether it did. Go's and nginx's
// servers answer plain HTTP on a TLS port with 400 and a sentence; after a HEAD, the registry is asked for that.
func (h *host) speaksTLS(ctx context.Context, used, method string, e *regerror.Error) bool {
	if used != "http" || e.Status != http.StatusBadRequest {
		return false
	}
	said := e.Words
	if method == http.MethodHead {
		ctx, cancel := context.WithTimeout(ctx, h.client.config.Stall)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+h.address+"/v2/", nil)
		if err != nil {
			return false
		}
		resp, err := h.http.Do(req)
		if err != nil {
			return false
		}
		said = regerror.FromResponse(resp).Words
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
	if h.at(u) {
		return h.http
	}
	return h.outside
}

// mayLead refuses an address, given by the registry, that would lead a request from a public registry to a private
// host: a machine's metadata service, or something in the cluster. Names are judged when they are dialled.
func (h *host) mayLead(ctx context.Context, u *url.URL) error {
	if h.at(u) {
		return nil
	}
	if strings.EqualFold(u.Hostname(), "localhost") {
		return h.refusePrivate(ctx, "127.0.0.1")
	}
	return h.refusePrivate(ctx, u.Hostname())
}

func (h *host) refusePrivate(ctx context.Context, address string) error {
	name, _, err := net.SplitHostPort(address)
	if err != nil {
		name = address
	}
	if ip := net.ParseIP(strings.Trim(name, "[]")); ip == nil || !private(ip) || h.isPrivate(ctx) {
		return nil
	}
	return regerror.Permanent(regerror.Malformed("it leads to the private address %s, where a public registry has no business", address))
}

// isPrivate says whether the registry itself is at a private address; then it may lead to others. A name that is at a public
// address, too, is not: whoever owns it may add what they like.
func (h *host) isPrivate(ctx context.Context) bool {
	name := h.address
	if n, _, err := net.SplitHostPort(name); err == nil {
		name = n
	}
	name = strings.Trim(name, "[]")
	ips, err := net.DefaultResolver.LookupIP(ctx, "ip", name)
	return err == nil && len(ips) > 0 && !slices.ContainsFunc(ips, func(ip net.IP) bool { return !private(ip) })
}

func private(ip net.IP) bool {
	return ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsLinkLocalMulticast() || ip.IsUnspecified()
}
