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

// advice says what a person can do about the error. A cause that has advice of its own knows best.
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
		return "ask the registry's people for more room"
	case e.Status >= 500 || e.Status == http.StatusRequestTimeout:
		return "run again later; if it stays, ask the registry's people"
	case e.Status < 400:
		return "ask the registry's people: this is no answer to such a request"
	case e.Doing == GettingToken:
		return "log in to " + e.Name + " again, or correct its credentials; if it stays, ask the registry's people"
	}
	return e.refused()
}

// refused returns the advice for a request that the registry understood and refused.
func (e *Error) refused() string {
	switch denied := e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden; {
	case denied && e.Side == reference.Destination:
		return "give the credentials the right to push to " + e.Name + ", or create the repository"
	case denied:
		return "give the credentials the right to pull from " + e.Name + ", or correct the source's name"
	case e.Status == http.StatusNotFound && e.Side == reference.Source:
		return "correct the source in the mapping file, or push the image there"
	case e.Status == http.StatusNotFound:
		return "create the repository " + e.Name
	}
	advice := "the registry refuses it for the reason that it gives: ask its people"
	if e.Words == "" {
		advice = "the registry refuses it and gives no reason: ask its people"
	}
	if e.Side == reference.Destination {
		advice += ", or see whether it takes images of this media type"
	}
	return advice
}

// unanswered returns the advice for a request without an answer, or with one that cannot be used.
func (e *Error) unanswered() string {
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.Is(e.Err, context.Canceled) || errors.Is(e.Err, ErrBusy):
		return "run again"
	case errors.As(e.Err, &certificate):
		return certify(certificate)
	case errors.Is(e.Err, ErrStalled):
		return "see whether the registry, and the way to it, are well; where it only is slow, raise MIRROR_STALL"
	case errors.Is(e.Err, errMalformed) && IsPermanent(e.Err):
		return "ask the registry's people why it leads there: only one that is at a private address itself may lead to another"
	case errors.Is(e.Err, errMalformed):
		return "run again; if it stays, ask the registry's people"
	case e.Doing == Choosing:
		return "correct what is at fault there: registries.conf, or the credentials that this machine has"
	case unreachable(e.Err):
		return "check the registry's name, and that it can be reached from here"
	}
	return "run again; if it stays, see what breaks the connections between here and the registry"
}

// unreachable reports whether nothing was there to speak to.
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
		return "correct the registry's name, or ask its people for a certificate that has it"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "ask the registry's people for a certificate that is valid today, and check this machine's clock"
	}
	return "give the authority of its certificate in MIRROR_CA_FILE"
}
