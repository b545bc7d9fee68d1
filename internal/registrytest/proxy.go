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
	Delay time.Duration // time that each request waits before it is looked at: a network's round trip
	Auth  *Auth         // what it demands; nil: nothing, and credentials pass to the registry
	TLS   bool          // speak HTTPS, with a certificate for 127.0.0.1 that no client trusts by itself
	Seed  uint64        // for rules with a chance
	Host  string        // address to listen on, for clients on other hosts; this machine's loopback address where it is empty
}

// Proxy stands before a registry: it counts and logs requests, delays them, demands credentials and injects faults.
// Bodies stream through it both ways.
type Proxy struct {
	Host string // such as 127.0.0.1:41234

	delay    time.Duration
	journal  journal
	auth     *authority // nil where nothing is demanded
	faults   faults
	server   *httptest.Server
	registry http.Handler
	cancel   context.CancelFunc
}

// StartProxy starts a proxy before the registry on the given host.
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
	if o.TLS {
		p.server.StartTLS()
	} else {
		p.server.Start()
	}
	return p
}

// Close cuts the connections that are open and stops the proxy. The registry behind it goes on.
func (p *Proxy) Close() {
	p.cancel()
	p.server.CloseClientConnections()
	p.server.Close()
}

// CA is the certificate, in PEM, that a client has to trust where the Proxy speaks TLS; nil otherwise.
func (p *Proxy) CA() []byte {
	cert := p.server.Certificate()
	if cert == nil {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

// Stats is what has been counted since the start or the last Reset.
func (p *Proxy) Stats() Stats { return p.journal.snapshot() }

// Log is the requests since the start or the last Reset, in the order in which they came.
func (p *Proxy) Log() []Request { return p.journal.requests() }

// Reset clears the counters and the log. Rules and tokens stay.
func (p *Proxy) Reset() { p.journal.reset() }

// Inject adds rules. Of the rules that strike a request, the first one added acts.
func (p *Proxy) Inject(rules ...FaultRule) { p.faults.add(rules) }

// Heal removes all rules.
func (p *Proxy) Heal() { p.faults.clear() }

// ExpireTokens makes every token worthless that was handed out so far.
func (p *Proxy) ExpireTokens() {
	if p.auth != nil {
		p.auth.expire()
	}
}

// SetUsers changes who is known, where anything is demanded. The tokens of all others are worthless from then on.
func (p *Proxy) SetUsers(users ...User) {
	if p.auth != nil {
		p.auth.replace(users)
	}
}

// ServeHTTP answers one request. The credentials come before the faults, so that a rule counts only
// requests that the registry would have carried out.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := p.journal.begin(r)
	defer x.end()
	// A registry may answer before it has read the whole body. HTTP/2 needs no permission for that, and refuses it.
	_ = http.NewResponseController(w).EnableFullDuplex()
	w = &recorder{ResponseWriter: w, x: x}
	body := &sent{ReadCloser: r.Body, x: x}
	r.Body = body
	p.answer(w, r, x)
	if r.ContentLength != 0 && !body.over.Load() {
		x.end() // whoever has the answer may send the next request
		body.end(w)
	}
}

// answer answers a request.
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

// forward is a handler that passes requests on to a registry, and leads its answers' Locations back to self.
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

// wait waits for d. It is false where ctx ended before.
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
