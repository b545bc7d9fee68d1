package regerror

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"imagemirror/internal/retry"
	"imagemirror/internal/text"
)

// Causes of an Error without a status.
var (
	// ErrDown means that the request was not sent.
	ErrDown = errors.New("the registry has answered none of the last requests")
	// ErrHostDown means that the request was not sent on to the host that the registry
	// led to.
	ErrHostDown = errors.New("that host has answered none of the last requests")
	// ErrTokensDown means that no token was asked for.
	ErrTokensDown = errors.New("the token service has answered none of the last requests")
	// ErrBusy means that a download cannot go on at another registry.
	ErrBusy = errors.New("all request slots are in use")
	// ErrStalled means that the request was canceled because no byte moved, or too few.
	ErrStalled = errors.New("no answer")
)

// A SlowError is an ErrStalled about a body that moved, but too slowly.
type SlowError struct {
	Host   string
	Rate   int64         // the least, in bytes per second
	Within time.Duration // time over which the rate was too low
}

func (e *SlowError) Error() string {
	return fmt.Sprintf("%s was too slow: fewer than %d bytes per second for %s", text.Line(e.Host, maxHost), e.Rate, e.Within)
}

// Is reports whether target is ErrStalled.
func (e *SlowError) Is(target error) bool { return target == ErrStalled }

// Advice returns what a person can do about the error.
func (e *SlowError) Advice() string {
	return "check the registry and the network; if they are only slow, lower MIRROR_MIN_RATE"
}

// IsSlow reports whether err is about a body that moved too slowly.
func IsSlow(err error) bool {
	var slow *SlowError
	return errors.As(err, &slow)
}

// maxHost bounds a host in an error, in characters.
const maxHost = 100

// errMalformed marks an answer that breaks the protocol.
var errMalformed = errors.New("malformed answer")

// Malformed returns an error for an answer that breaks the protocol.
func Malformed(format string, args ...any) error {
	return malformedError{fmt.Errorf(format, args...)}
}

// IsMalformed reports whether err is about an answer that breaks the protocol.
func IsMalformed(err error) bool { return errors.Is(err, errMalformed) }

type malformedError struct{ error }

func (e malformedError) Is(target error) bool { return target == errMalformed }
func (e malformedError) Unwrap() error        { return e.error }

// Permanent wraps an error that another try will not change.
func Permanent(err error) error { return permanentError{err} }

type permanentError struct{ error }

func (e permanentError) Unwrap() error { return e.error }

// A ProxyRefusal is the answer of a proxy that does not connect to the registry.
type ProxyRefusal struct {
	Proxy  string // host:port
	Status int
}

func (p *ProxyRefusal) Error() string {
	return strings.TrimRight(fmt.Sprintf("the proxy %s does not connect: HTTP %d %s", p.Proxy, p.Status, http.StatusText(p.Status)), " ")
}

// IsPermanent reports whether another try is of no use: after Permanent, or if a host
// name does not exist, a certificate is not trusted or a proxy refuses to connect.
func IsPermanent(err error) bool {
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	var permanent permanentError
	var proxy *ProxyRefusal
	return errors.As(err, &proxy) && !retry.Transient(proxy.Status) || errors.As(err, &dns) && dns.IsNotFound || errors.As(err, &certificate) || errors.As(err, &permanent)
}

// WaitAfter returns how long to wait, at least, after a request without an answer, or
// retry.Never.
func WaitAfter(ctx context.Context, err error) time.Duration {
	if ctx.Err() != nil || IsPermanent(err) || errors.Is(err, ErrBusy) || errors.Is(err, retry.ErrTooLong) {
		return retry.Never
	}
	return 0
}

// Plain returns why no answer came, in fewer words than net/http uses. It drops the
// address: that of an upload may contain a secret.
func Plain(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the connection was cut")
	}
	return err
}
