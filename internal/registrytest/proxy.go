package registrytest

import (
	"context"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"time"
)

// ProxyOptions are the settings of a Proxy.
type ProxyOptions struct {
	Delay time.Duration // of each request, as a network's round trip
	Auth  *Auth         // nil: demand nothing, and pass credentials on to the registry
	TLS   bool          // speak HTTPS, with a certificate for 127.0.0.1 that clients have to be given
	HTTP2 bool          // with TLS: speak HTTP/2 too
	Link  NetworkLink   // to the proxy's clients
	Seed  uint64        // for rules with a chance
	Host  string        // address to listen on, for clients on other hosts (default loopback)
}

// A Proxy stands before a registry. It counts and logs requests, delays them, demands
// credentials and injects faults. Bodies stream through it both ways.
type Proxy struct {
	Host string // such as 127.0.0.1:41234

	delay    time.Duration
	journal  journal
	auth     *authority // nil if nothing is demanded
	faults   faults
	server   *httptest.Server
	registry http.Handler
	cancel   context.CancelFunc
}

// StartProxy starts a proxy before the registry on host.
func StartProxy(host string, o ProxyOptions) *Proxy {
	p := &Proxy{delay: o.Delay, journal: journal{stats: newStats()}, faults: newFaults(o.Seed)}
	transport := &http.Transport{MaxIdleConnsPerHost: 512, DisableCompression: true}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = func() {
		cancel()
		transport.CloseIdleConnections()
	}
	p.server = httptest.NewUnstartedServer(p)
	if o.Host != "" {
		p.server.Listener.Close()
		l, err := net.Listen("tcp", net.JoinHostPort(o.Host, "0"))
		must(err)
		p.server.Listener = l
	}
	if o.Link != (NetworkLink{}) {
		p.server.Listener = linkListener{p.server.Listener, o.Link}
	}
	p.server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	p.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	self := &url.URL{Scheme: "http", Host: p.server.Listener.Addr().String()}
	if o.TLS {
		self.Scheme = "https"
	}
	p.Host = self.Host
	if o.Auth != nil {
		p.auth = newAuthority(*o.Auth, self)
	}
	p.registry = forward(transport, host, self)
	if p.server.EnableHTTP2 = o.HTTP2; o.TLS {
		p.server.StartTLS()
	} else {
		p.server.Start()
	}
	return p
}

// Close cuts open connections and stops the proxy. The registry behind it goes on.
func (p *Proxy) Close() {
	p.cancel()
	p.server.CloseClientConnections()
	p.server.Close()
}

// CA returns the certificate, in PEM, that a client has to trust. It is nil if the Proxy does
// not speak TLS.
func (p *Proxy) CA() []byte {
	cert := p.server.Certificate()
	if cert == nil {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

// Stats returns the counters since the start or the last Reset.
func (p *Proxy) Stats() Stats { return p.journal.snapshot() }

// Log returns the requests since the start or the last Reset, in the order in which they came.
func (p *Proxy) Log() []Request { return p.journal.requests() }

// Reset clears the counters and the log. Rules and tokens stay.
func (p *Proxy) Reset() { p.journal.reset() }

// Inject adds rules. If several rules match a request, the one added first acts.
func (p *Proxy) Inject(rules ...FaultRule) { p.faults.add(rules) }

// Heal removes all rules.
func (p *Proxy) Heal() { p.faults.clear() }

// ExpireTokens invalidates every token issued so far.
func (p *Proxy) ExpireTokens() {
	if p.auth != nil {
		p.auth.expire()
	}
}

// SetUsers replaces the users, if credentials are demanded at all, and invalidates all tokens.
func (p *Proxy) SetUsers(users ...User) {
	if p.auth != nil {
		p.auth.replace(users)
	}
}

// MakePublic lets requests without credentials pull from a repository, as its owners do on a page
// of the registry. Users have to be given: without any, everybody may do everything.
func (p *Proxy) MakePublic(repository string) {
	if p.auth != nil {
		p.auth.open(repository)
	}
}

// ServeHTTP answers one request. It checks credentials before faults, so that a rule counts only
// requests that the registry would have carried out.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := p.journal.begin(r)
	defer x.end()
	// A registry may answer before it has read the whole body. HTTP/2 needs no permission for
	// that, so asking for it fails there.
	_ = http.NewResponseController(w).EnableFullDuplex()
	w = &recorder{ResponseWriter: w, x: x}
	body := &countedBody{ReadCloser: r.Body, x: x}
	r.Body = body
	p.answer(w, r, x)
	if r.ContentLength != 0 && !body.over.Load() {
		x.end() // a client that has the answer may send its next request
		body.end(w)
	}
}

func (p *Proxy) answer(w http.ResponseWriter, r *http.Request, x *exchange) {
	if !wait(r.Context(), p.delay) {
		return
	}
	next := p.registry
	switch {
	case p.auth == nil:
	case x.endpoint.kind == "token":
		next = p.auth
	default:
		decision := p.auth.judge(r, x.endpoint)
		x.user(decision.user)
		if decision.refusal != nil {
			decision.refusal.ServeHTTP(w, r)
			return
		}
		r.Header.Del("Authorization")
	}
	if rule := p.faults.strike(r, x.endpoint); rule != nil {
		x.fault(rule.Name)
		next = rule.Fault(next)
	}
	next.ServeHTTP(w, r)
}

// forward returns a handler that passes requests on to a registry, and changes Locations in its
// answers to lead to self.
func forward(transport http.RoundTripper, host string, self *url.URL) http.Handler {
	return &httputil.ReverseProxy{
		Transport: transport,
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: host}) },
		ModifyResponse: func(resp *http.Response) error {
			at, err := url.Parse(resp.Header.Get("Location"))
			if err == nil && at.Host == host {
				at.Scheme, at.Host = self.Scheme, self.Host
				resp.Header.Set("Location", at.String())
			}
			return nil
		},
		ErrorLog: log.New(io.Discard, "", 0),
	}
}

// wait waits for d, and reports whether it passed before ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
