package regerror

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"

	"imagemirror/internal/reference"
)

// advice says what a person can do about the error. If the cause has advice of its
// own, that is returned.
func (e *Error) advice() string {
	var own interface{ Advice() string }
	switch {
	case errors.As(e.Err, &own):
		return own.Advice()
	case e.Status == 0:
		return e.unanswered()
	case e.Status == http.StatusTooManyRequests:
		return "lower MIRROR_CONCURRENCY or set MIRROR_RATE, or mirror less often"
	case e.Status == http.StatusInsufficientStorage || e.Status == http.StatusRequestEntityTooLarge:
		return "ask the registry's operators for more room"
	case e.Status >= 500 || e.Status == http.StatusRequestTimeout:
		return "run again later; if it persists, ask the registry's operators"
	case e.Status < 400:
		return "ask the registry's operators: this is not a valid answer"
	case e.Doing == GettingToken:
		return "log in to " + e.Name + " again, or correct its credentials; if it persists, ask the registry's operators"
	}
	return e.refused()
}

// refused returns the advice for a request that the registry understood and refused.
func (e *Error) refused() string {
	switch denied := e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden; {
	case denied && e.Side == reference.Destination:
		return "grant the credentials push access to " + e.Name + ", or create the repository"
	case denied:
		return "grant the credentials pull access to " + e.Name + ", or correct the source's name"
	case e.Status == http.StatusNotFound && e.Side == reference.Source:
		return "correct the source in the mapping file, or push the image there"
	case e.Status == http.StatusNotFound:
		return "create the repository " + e.Name
	}
	advice := "ask the registry's operators about the reason that it gives"
	if e.Words == "" {
		advice = "ask the registry's operators why it refuses the request"
	}
	if e.Side == reference.Destination {
		advice += ", or check whether it accepts images of this media type"
	}
	return advice
}

// unanswered returns the advice for a request without an answer, or with one that
// cannot be used.
func (e *Error) unanswered() string {
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.Is(e.Err, context.Canceled) || errors.Is(e.Err, ErrBusy):
		return "run again"
	case errors.As(e.Err, &certificate):
		return certify(certificate)
	case errors.Is(e.Err, ErrStalled):
		return "check the registry and the network; if they are only slow, raise MIRROR_STALL"
	case errors.Is(e.Err, errMalformed) && IsPermanent(e.Err):
		return "ask the registry's operators why it leads to a private address: only a registry that has one itself may"
	case errors.Is(e.Err, errMalformed):
		return "run again; if it persists, ask the registry's operators"
	case e.Doing == Locating:
		return "correct registries.conf, or the credentials of this machine"
	case unreachable(e.Err):
		return "check the registry's name, and whether it can be reached from here"
	}
	return "run again; if it persists, find out what breaks the connections to the registry"
}

// unreachable reports whether no connection was possible.
func unreachable(err error) bool {
	var dns *net.DNSError
	var dial *net.OpError
	return errors.Is(err, ErrDown) || errors.As(err, &dns) || errors.As(err, &dial) && dial.Op == "dial"
}

// certify returns the advice for a certificate that is not trusted.
func certify(err error) string {
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &name):
		return "correct the registry's name, or ask its operators for a certificate that has it"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "ask the registry's operators for a certificate that is valid today, and check this machine's clock"
	}
	return "set MIRROR_CA_FILE to a file with the authority of its certificate"
}
