package regerror

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"

	"imagemirror/internal/reference"
)

// advice returns what a person can do about the error: the cause's own advice, if it
// has one.
func (e *Error) advice() string {
	var own interface{ Advice() string }
	switch {
	case e.Status == 0 && e.Page: // whatever is wrong with the content is due to that
		return "ask the operators of " + cmp.Or(e.Host, e.Name) + " why it sends a web page, such as one to log in, instead of the content"
	case errors.As(e.Err, &own):
		return own.Advice()
	case e.Status == 0:
		return e.unanswered()
	case e.Status == http.StatusProxyAuthRequired:
		return proxyAdvice
	}
	if advice := e.onMeaning(); advice != "" {
		return advice
	}
	return e.onStatus()
}

// onMeaning returns the advice on what the answer says, or "" if only its status tells.
func (e *Error) onMeaning() string {
	switch e.meaning() {
	case throttled:
		return "lower MIRROR_CONCURRENCY or set MIRROR_RATE, or mirror less often"
	case webPage:
		return e.onPage()
	case overQuota:
		return "ask the registry's operators for more room, delete images there, or raise the quota or plan"
	case readOnly:
		return "push when the registry accepts pushes again, or correct the destination if it is only for pulling"
	case immutableTag:
		return "push under another tag, or make this one mutable at the registry"
	case againstPolicy:
		return "make the image comply with the policy, or ask the registry's operators for an exception"
	case noRepository:
		return e.onMissing()
	case contentUnknown:
		return "run again; if it persists, ask the registry's operators why it does not know what was pushed to it"
	case wrongKind:
		return e.onReason()
	}
	return ""
}

// onPage returns the advice on an HTML page that came instead of a registry's answer.
func (e *Error) onPage() string {
	if e.Status < http.StatusBadRequest {
		return "check that " + e.Name + " is an image on a registry: this is a web page, such as one to log in"
	}
	return "ask the operators of the front server or firewall that answered why it refuses the request: the registry did not see it"
}

// onMissing returns the advice on an image or a repository that does not exist.
func (e *Error) onMissing() string {
	if e.Side == reference.Source {
		return "correct the source in the mapping file, or push the image there"
	}
	return "create the repository " + e.Name
}

// onStatus returns the advice on an answer that has nothing but its status.
func (e *Error) onStatus() string {
	switch {
	case e.Status == http.StatusRequestEntityTooLarge:
		return "ask the registry's operators for more room"
	case e.Status == http.StatusNetworkAuthenticationRequired:
		return "log in to the network that this machine is in"
	case e.Host != "" && e.Doing != GettingToken:
		return e.onOtherHost()
	case e.Status == http.StatusNotImplemented:
		return "ask the registry's operators why it does not support the request"
	case e.Transient() || e.Status >= 500:
		return "run again later; if it persists, ask the registry's operators"
	case e.Status < 400:
		return "ask the registry's operators: this is not a valid answer"
	case e.Doing == GettingToken:
		return "log in to " + e.Name + " again, or correct its credentials; if it persists, ask the registry's operators"
	}
	return e.refused()
}

// onOtherHost returns the advice on the answer of a host that the registry led to.
func (e *Error) onOtherHost() string {
	if e.Transient() {
		return "run again later; if it persists, ask the registry's operators about " + e.Host
	}
	return "ask the registry's operators why it leads to " + e.Host + ", which refuses the request"
}

// refused returns the advice for a request that the registry understood and refused.
func (e *Error) refused() string {
	switch denied := e.meaning() == noAccess; {
	case denied && e.Side == reference.Destination:
		return "grant the credentials push access to " + e.Name + ", or create the repository"
	case denied:
		return "grant the credentials pull access to " + e.Name + ", or correct the source's name"
	case e.Code == "BLOB_UPLOAD_UNKNOWN":
		return "run again; if it persists, ask the registry's operators why it does not know the upload that it opened"
	case e.Status == http.StatusNotFound:
		return e.onMissing()
	}
	return e.onReason()
}

// onReason returns the advice on a refusal that only its own words explain, if any.
func (e *Error) onReason() string {
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
	case throughProxy(e.Err):
		return proxyAdvice
	case errors.Is(e.Err, ErrStalled):
		return "check the registry and the network; if they are only slow, raise MIRROR_STALL"
	case errors.Is(e.Err, errMalformed) && IsPermanent(e.Err):
		return "ask the registry's operators why it leads to a private address: only a registry that has one itself may"
	case errors.Is(e.Err, errMalformed):
		return "run again; if it persists, ask the registry's operators"
	case e.Doing == Locating:
		return "correct registries.conf, or the credentials of this machine"
	case e.Doing == GettingToken && unreachable(e.Err):
		return "check whether the token service of " + e.Name + " can be reached from here, or run again later"
	case e.Host != "" && unreachable(e.Err):
		return "check whether " + e.Host + " can be reached from here: the registry leads there"
	case unreachable(e.Err):
		return "check the registry's name, and whether it can be reached from here"
	}
	return "run again; if it persists, find out what breaks the connections to the registry"
}

const proxyAdvice = "correct HTTPS_PROXY, HTTP_PROXY and NO_PROXY, or ask the proxy's operators to let the registry through"

// throughProxy reports whether the proxy could not be reached, or refused to connect.
func throughProxy(err error) bool {
	var dial *net.OpError
	var refused *ProxyRefusal
	return errors.As(err, &refused) || errors.As(err, &dial) && dial.Op == "proxyconnect"
}

// unreachable reports whether no connection was possible.
func unreachable(err error) bool {
	var dns *net.DNSError
	var dial *net.OpError
	return errors.Is(err, ErrDown) || errors.Is(err, ErrHostDown) || errors.Is(err, ErrTokensDown) || errors.As(err, &dns) || errors.As(err, &dial) && dial.Op == "dial"
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
