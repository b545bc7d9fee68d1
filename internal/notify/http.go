package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"imagemirror/internal/addresses"
	"imagemirror/internal/retry"
	"imagemirror/internal/secret"
	"imagemirror/internal/text"
)

// maxBody bounds what is read of an answer, in bytes.
const maxBody = 4 << 10

// An endpoint is where messages are posted.
type endpoint struct {
	url    *url.URL
	client *http.Client
	now    func() time.Time
	words  bool // the target answers in plain text, so an HTML page is from a login or a proxy
}

// endpoint reads the URL of a target, and the authorities that it trusts besides the system's.
func (s *Sender) endpoint(k targetKeys) (*endpoint, error) {
	address, err := k.get("url", true)
	if err != nil {
		return nil, err
	}
	hideAddress(address)
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("the key %s.url is not a URL: write https://HOST/PATH", k.target)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	if err := s.mayReach(u.Hostname(), port); err != nil {
		return nil, err
	}
	if u.Scheme == "http" && !s.hosts.Name(u.Hostname(), port) {
		return nil, fmt.Errorf("the key %s.url is not https: only a host that the policy or MIRROR_NOTIFY_HOSTS lists may get messages in the clear", k.target)
	}
	trust, err := trusted(k)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: s.dial, TLSClientConfig: trust,
		TLSHandshakeTimeout: tryTime, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 64 << 10,
	}
	if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u}); err == nil && proxy != nil {
		transport.DialContext = nil // the operator's proxy may have any address; it dials the host
	}
	// A redirect would take the secrets along, or leave them out and fail.
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &endpoint{url: u, client: &http.Client{Transport: transport, CheckRedirect: stay}, now: s.now}, nil
}

// hideAddress hides all of a URL but its scheme and host: whoever knows the path of Slack's may
// post. The host is in errors and in other lines of a log, which people must be able to read.
func hideAddress(address string) {
	if _, after, found := strings.Cut(address, "://"); found {
		address = after
	}
	host, path := address, ""
	if i := strings.IndexAny(address, "/?#"); i >= 0 {
		host, path = address[:i], address[i:]
	}
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		user, password, found := strings.Cut(host[:i], ":")
		if !found {
			password = user // a token
		}
		secret.Add(user, password)
		if plain, err := url.PathUnescape(password); err == nil {
			secret.Add(user, plain)
		}
	}
	secret.Add("", path)
	_, query, _ := strings.Cut(path, "?")
	for part := range strings.SplitSeq(query, "&") {
		_, value, _ := strings.Cut(part, "=")
		secret.Add("", value)
	}
}

// trusted returns the TLS configuration of a target.
func trusted(k targetKeys) (*tls.Config, error) {
	pem, err := k.get("ca", false)
	if err != nil || pem == "" {
		return &tls.Config{MinVersion: tls.VersionTLS12}, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM([]byte(pem)) {
		return nil, fmt.Errorf("the key %s.ca has no certificate: write them as PEM", k.target)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}, nil
}

// post posts a body once.
func (e *endpoint) post(ctx context.Context, body []byte, header http.Header) (time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url.String(), bytes.NewReader(body))
	if err != nil {
		return retry.Never, err
	}
	req.Header = header
	req.Header.Set("User-Agent", "imagemirror")
	resp, err := e.client.Do(req)
	if err != nil {
		return waitAfter(err)
	}
	defer resp.Body.Close()
	taken := resp.StatusCode/100 == 2
	if taken && !e.words {
		return 0, nil
	}
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	switch page := bytes.HasPrefix(bytes.TrimSpace(answer), []byte("<")); {
	case taken && page:
		return retry.Never, fmt.Errorf("HTTP %d with a web page: give the URL of an incoming webhook", resp.StatusCode)
	case taken:
		return 0, nil
	}
	if to := resp.Header.Get("Location"); resp.StatusCode/100 == 3 && to != "" {
		return retry.Never, fmt.Errorf("HTTP %d: it redirects, and secrets are not sent along: give the URL that it leads to", resp.StatusCode)
	}
	return answerError(resp.StatusCode, resp.Header, answer, e.now())
}

// waitAfter returns the error of a request without its URL, which may be a secret.
func waitAfter(err error) (time.Duration, error) {
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	if errors.As(err, new(*addressError)) {
		return retry.Never, err
	}
	return 0, explained(err)
}

// explained returns the errors of connections in words.
func explained(err error) error {
	timeout, untrusted := net.Error(nil), new(x509.UnknownAuthorityError)
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("no answer within %s", text.Duration(tryTime))
	case errors.Is(err, io.EOF):
		return errors.New("the connection ended without an answer")
	case errors.As(err, untrusted):
		return fmt.Errorf("%w: if that is right, trust its authority with the key NAME.ca", err)
	}
	return err
}

// An addressError is about an address that no message is sent to.
type addressError struct {
	host string
	kind addresses.Kind
}

func (u *addressError) Error() string {
	if u.kind == addresses.Metadata {
		return u.host + " is where a cloud gives its machines secrets: nothing is sent there"
	}
	return fmt.Sprintf("%s is a private or reserved address: list the host under notify in the operator's policy.yaml, or in MIRROR_NOTIFY_HOSTS", u.host)
}

// mayReach returns an error if the name of a host tells that it must not get messages.
func (s *Sender) mayReach(host, port string) error {
	kind := addresses.OfHost(host)
	listed := s.hosts.Name(host, port)
	switch {
	case kind == addresses.Metadata:
		return &addressError{host, kind}
	case len(s.hosts) > 0 && !listed:
		return fmt.Errorf("the policy or MIRROR_NOTIFY_HOSTS does not list %s: ask its owners", net.JoinHostPort(host, port))
	case kind != addresses.Public && !listed:
		return &addressError{host, kind}
	}
	return nil
}

// dial opens a connection. It judges each address that a name turns out to have, right before it
// connects to it.
func (s *Sender) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	listed := s.hosts.Name(host, port)
	d := net.Dialer{Timeout: tryTime, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if kind := addresses.Of(to.Addr()); kind == addresses.Metadata || kind != addresses.Public && !listed {
			return &addressError{to.Addr().String(), kind}
		}
		return nil
	}}
	return d.DialContext(ctx, network, address)
}
