package registry

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"imagemirror/internal/addresses"
	"imagemirror/internal/auth"
	"imagemirror/internal/coding"
	"imagemirror/internal/regerror"
	"imagemirror/internal/registriesconf"
	"imagemirror/internal/secret"
)

// dockerHubHost is the host of Docker Hub's registry; docker.io is a web site.
const dockerHubHost = "registry-1.docker.io"

// A host is one registry, spoken to in one way: its connections, authorization and
// budget.
type host struct {
	client    *Client
	endpoint  registriesconf.Endpoint // Repository is empty
	address   string                  // host or host:port to dial
	metadata  bool                    // a cloud gives its machines secrets there
	auth      *auth.Authorizer
	budget    *budget
	health    health
	tokens    health // of its token service
	elsewhere outsiders
	standing  *standing
	warnings  warnings
	large     chan struct{} // has an entry for each large manifest in memory
	buffers   sync.Pool     // of *bytes.Buffer, to read manifests
	scheme    atomic.Pointer[string]
	itself    route // to the registry
	outside   route // to other hosts that the registry leads to

	mounts     mounts
	heads      optional // HEAD of manifests
	referrers  referrersAPI
	tagLists   optional // lists of tags that other requests can replace: see TagsWithin
	ranges     optional // of blobs
	chunks     chunks
	asks       atomic.Bool  // uploads ask before they send a body, since the registry redirects them
	plain      atomic.Bool  // the registry calls blobs encoded that are not
	unsized    atomic.Bool  // the registry refuses the size of a page of tags
	links      atomic.Bool  // the registry links the pages of a list of tags
	stalled    atomic.Int64 // when it last stalled while it sent a blob, in Unix ns; or 0
	leads      atomic.Bool  // the registry redirected the last read of a blob
	unfiltered atomic.Bool  // the registry refuses to filter referrers
	lists      atomic.Bool  // the registry lists referrers itself: see ListsReferrers
	pinged     sync.Once    // see challenge
}

func newHost(c *Client, e registriesconf.Endpoint, b *budget) *host {
	h := &host{client: c, endpoint: e, budget: b, address: e.Registry, large: make(chan struct{}, largeManifests)}
	h.endpoint.Repository = ""
	if e.Registry == "docker.io" || e.Registry == "index.docker.io" {
		h.address = dockerHubHost
	}
	h.setScheme("https")
	if registriesconf.Localhost(e.Registry) && !e.Insecure { // else TLS is tried first, as elsewhere
		h.setScheme("http")
	}
	h.metadata = addressKind(h.address) == addresses.Metadata
	trust := c.tls.Clone()
	trust.InsecureSkipVerify = e.Insecure //nolint:gosec // insecure in registries.conf means this
	h.standing = newStanding(h.address)
	h.itself = c.route(trust, c.dialer(own{h.standing}))
	h.outside = c.route(c.tls, c.dialer(others{h.standing}))
	h.auth = auth.New(auth.Config{
		Registry:  e.Registry,
		PlainHTTP: h.allowsPlainHTTP(),
		Timeout:   c.config.Stall,
		Retry:     h.policy(),
		Slots:     b,
		Client:    h.leadToTokens,
		SeemsDown: h.tokens.seemsDown,
		Own:       h.at,
	})
	return h
}

// lead returns the HTTP client for an address that the registry gave, or an error if it
// must not lead there.
func (h *host) lead(u *url.URL) (*http.Client, error) {
	if err := h.mayLead(u); err != nil {
		return nil, err
	}
	return h.routeTo(u).small, nil
}

// leadToTokens does what lead does for the token service, which may be down while the
// registry is not.
func (h *host) leadToTokens(ctx context.Context, u *url.URL) (*http.Client, error) {
	probe := func(ctx context.Context) bool { return h.probe(ctx, u) }
	if h.tokens.triesOf(ctx, 1, probe) == 0 {
		return nil, cmp.Or(context.Cause(ctx), regerror.Permanent(regerror.ErrTokensDown))
	}
	client, err := h.lead(u)
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: heedful{client.Transport, &h.tokens}, CheckRedirect: noRedirect}, nil
}

// leadCall returns the HTTP client for a call at an address that the registry gave.
func (h *host) leadCall(ctx context.Context, u *url.URL, c *call) (*http.Client, error) {
	if err := h.elsewhere.mayAsk(ctx, h, u); err != nil {
		return nil, err
	}
	client, err := h.lead(u)
	read := c.kept != nil
	if err != nil || c.stream == nil && !read || read && h.at(u) && h.leads.Load() {
		return client, err
	}
	return h.routeTo(u).blobs, nil
}

// A route is how to reach one registry, or the hosts that it leads to.
type route struct {
	small *http.Client // requests share connections, as the protocol allows
	blobs *http.Client // each request has a connection to itself
}

// route returns a route over connections that dial opens.
func (c *Client) route(trust *tls.Config, dial dialFunc) route {
	shared := c.transport(trust, dial)
	shared.HTTP2.SendPingTimeout, shared.HTTP2.PingTimeout = silentAfter, lostAfter
	l := &lanes{open: func() *http.Transport { return c.transport(trust, dial) }, shared: shared, most: c.config.Concurrency}
	return route{
		small: &http.Client{Transport: coding.Transport(shared), CheckRedirect: noRedirect},
		blobs: &http.Client{Transport: coding.Transport(l), CheckRedirect: noRedirect},
	}
}

// noRedirect leaves redirects to follow, which decides where credentials may go.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

const (
	dialTimeout = 30 * time.Second
	keepAlive   = 30 * time.Second
)

// transport returns a transport that keeps one idle connection per request slot.
func (c *Client) transport(trust *tls.Config, dial dialFunc) *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dial,
		TLSClientConfig:     trust.Clone(), // net/http writes to it
		TLSHandshakeTimeout: 15 * time.Second,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: c.config.Concurrency + 1,
		IdleConnTimeout:     90 * time.Second,
		DisableCompression:  true, // coding.Transport deals with it
		ReadBufferSize:      32 << 10,
		WriteBufferSize:     32 << 10,

		ExpectContinueTimeout: 2 * time.Second, // see host.asks
		// 4 MiB at most
		HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: max(windows/c.config.Concurrency, 64<<10)},

		OnProxyConnectResponse: refusedByProxy,
	}
}

// windows is how many bytes of blobs may arrive from one registry over HTTP/2 that nobody has
// taken yet, since the uploads are slower than the downloads.
const windows = 64 << 20

// A connection over HTTP/2 that goes dead without a word, as when a network path fails, would take
// all attempts of all requests with it: net/http closes it only if a ping stays without an answer.
// A lane needs none: its connection is closed when its transfer stalls.
const (
	silentAfter = 30 * time.Second // with nothing from the server, a ping is sent
	lostAfter   = 15 * time.Second // without an answer to it, the connection is closed
)

// refusedByProxy names a proxy that does not connect: net/http's error is the status only.
func refusedByProxy(_ context.Context, proxy *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	return &regerror.ProxyRefusal{Proxy: proxy.Host, Status: resp.StatusCode}
}

// proxies returns the addresses of the proxies that the environment names.
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
		password, _ := u.User.Password()
		secret.Add(u.User.Username(), password)
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

// at reports whether an address is on the registry itself, however it is written.
func (h *host) at(u *url.URL) bool {
	return u.Host == h.address || withPort(u.Host, u.Scheme) == withPort(h.address, u.Scheme)
}

// withPort returns host:port, in lower case, for the host of a URL.
func withPort(host, scheme string) string {
	u := url.URL{Host: strings.ToLower(host)}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// url returns the address of something in a repository, such as manifests/v1.
func (h *host) url(repository, rest string) *url.URL {
	path := "/v2/" + repository + "/" + rest
	return &url.URL{Scheme: *h.scheme.Load(), Host: h.address, Path: path}
}

// plainHTTP switches to plain HTTP if an insecure registry does not speak TLS. It
// reports whether it did.
func (h *host) plainHTTP(used string, err error) bool {
	var record tls.RecordHeaderError
	if used != "https" || !h.allowsPlainHTTP() || !errors.As(err, &record) && !strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return false
	}
	h.setScheme("http")
	return true
}

// speaksTLS switches to TLS if a registry on localhost turns out to speak it. It
// reports whether it did. Go's and nginx's servers answer plain HTTP on a TLS port with
// 400 and a sentence. The answer to HEAD has no body, so speaksTLS asks for the
// sentence with a GET.
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
		resp, err := h.itself.small.Do(req)
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

// routeTo returns the route to an address: the registry's own, or for any other host the one
// that refuses private addresses.
func (h *host) routeTo(u *url.URL) route {
	if h.at(u) {
		return h.itself
	}
	return h.outside
}
