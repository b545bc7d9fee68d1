package regerror

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"testing"

	"imagemirror/internal/fault"
	"imagemirror/internal/reference"
)

func TestKindAndHostOfFailures(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	proxy := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 3128}
	down := &net.OpError{Op: "proxyconnect", Net: "tcp", Err: &net.OpError{Op: "dial", Net: "tcp", Addr: proxy, Err: syscall.ECONNREFUSED}}
	for _, c := range []struct {
		name string
		err  Error
		kind fault.Kind
		host string
	}{
		{"a dead port", Error{Err: refused}, fault.Unavailable, "r.example:5000"},
		{"no such host", Error{Err: &net.DNSError{IsNotFound: true}}, fault.Unavailable, "r.example:5000"},
		{"many requests without an answer", Error{Err: ErrDown}, fault.Unavailable, "r.example:5000"},
		{"a stall", Error{Err: ErrStalled}, fault.Unavailable, "r.example:5000"},
		{"a cut", Error{Err: errors.New("the connection was cut")}, fault.Unavailable, "r.example:5000"},
		{"503", Error{Status: 503}, fault.Unavailable, "r.example:5000"},
		{"408", Error{Status: 408}, fault.Unavailable, "r.example:5000"},
		{"a mirror of registries.conf that is down", Error{At: "mirror.example", Err: refused}, fault.Unavailable, "mirror.example"},

		{"a CDN that is down", Error{Host: "cdn.example", Err: refused}, fault.Unavailable, "cdn.example"},
		{"a CDN that was down", Error{Host: "cdn.example", Err: ErrHostDown}, fault.Unavailable, "cdn.example"},
		{"a CDN that fails", Error{Host: "cdn.example", Status: 502}, fault.Unavailable, "cdn.example"},
		{"a CDN that throttles", Error{Host: "cdn.example", Status: 503, Code: "SlowDown"}, fault.Throttled, "cdn.example"},
		{"a CDN that refuses", Error{Host: "cdn.example", Status: 403}, fault.Denied, "cdn.example"},
		{"a CDN that broke off", Error{Err: fmt.Errorf("the transfer broke off: %w", &Error{Host: "cdn.example", Err: ErrStalled})}, fault.Unavailable, "cdn.example"},

		{"a token service that is down", Error{Doing: GettingToken, Host: "auth.example", Err: ErrTokensDown}, fault.Unavailable, "auth.example"},
		{"a token service that fails", Error{Doing: GettingToken, Host: "auth.example", Status: 500}, fault.Unavailable, "auth.example"},
		{"expired credentials", Error{Doing: GettingToken, Host: "auth.example", Status: 401}, fault.Credentials, "r.example:5000"},
		{"a token service that denies", Error{Doing: GettingToken, Host: "auth.example", Status: 403, Code: "DENIED", Words: "requested access to the resource is denied"}, fault.Denied, "r.example:5000"},
		{"a token service without the registry", Error{Doing: GettingToken, Host: "auth.example", Status: 404}, fault.Credentials, "r.example:5000"},

		{"401", Error{Status: 401}, fault.Credentials, "r.example:5000"},
		{"401 with a token", Error{Status: 401, Code: "UNAUTHORIZED", Words: "access to the requested resource is not authorized"}, fault.Denied, "r.example:5000"},
		{"401 for a scope", Error{Status: 401, Words: "insufficient_scope"}, fault.Denied, "r.example:5000"},
		{"403", Error{Status: 403}, fault.Denied, "r.example:5000"},
		{"ECR's expired token", Error{Status: 403, Words: "Your authorization token has expired. Reauthenticate and try again."}, fault.Credentials, "r.example:5000"},
		{"Artifactory's bad password", Error{Status: 403, Words: "Bad credentials"}, fault.Credentials, "r.example:5000"},
		{"a helper that fails", Error{Doing: Locating, Err: errors.New("asking the credential helper")}, fault.Credentials, "r.example:5000"},

		{"429", Error{Status: 429}, fault.Throttled, "r.example:5000"},
		{"404", Error{Status: 404}, fault.Missing, "r.example:5000"},
		{"413", Error{Status: 413}, fault.TooLarge, "r.example:5000"},
		{"422", Error{Status: 422}, fault.Rejected, "r.example:5000"},
		{"304", Error{Status: 304}, fault.Answer, "r.example:5000"},
		{"an answer that breaks the protocol", Error{Status: 0, Err: Malformed("no Location")}, fault.Answer, "r.example:5000"},
		{"an upload that was forgotten", Error{Status: 404, Code: "BLOB_UPLOAD_UNKNOWN"}, fault.Answer, "r.example:5000"},
		{"content with another digest", Error{Err: fault.Image.Mark(errors.New("the content has the digest x"))}, fault.Image, "r.example:5000"},
		{"a prefix that is blocked", Error{Doing: Locating, Err: fault.Blocked.Mark(errors.New("r.example is blocked"))}, fault.Blocked, "r.example:5000"},

		{"an unknown authority", Error{Err: &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}}, fault.TLS, "r.example:5000"},
		{"no TLS", Error{Err: tls.RecordHeaderError{}}, fault.TLS, "r.example:5000"},
		{"HTTP instead of TLS", Error{Err: http.ErrSchemeMismatch}, fault.TLS, "r.example:5000"},
		{"a proxy that is down", Error{Err: down}, fault.Proxy, "10.0.0.1:3128"},
		{"a proxy that refuses", Error{Err: &ProxyRefusal{Proxy: "proxy.example:3128", Status: 403}}, fault.Proxy, "proxy.example:3128"},
		{"407", Error{Status: 407}, fault.Proxy, "r.example:5000"},
		{"an interruption", Error{Err: context.Canceled}, fault.Unfinished, "r.example:5000"},
	} {
		c.err.Side, c.err.Name = reference.Source, "r.example:5000/a/b"
		if f := c.err.Fault(); f.Kind != c.kind || f.Host != c.host || f.Side != reference.Source {
			t.Errorf("%s (%v): got the kind %s at %s of the %s, want %s at %s of the source", c.name, &c.err, f.Kind, f.Host, f.Side, c.kind, c.host)
		}
	}
}
