package regerror

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"regexp"
	"strings"

	"imagemirror/internal/fault"
)

// Kind returns what kind of failure the error is: the cause's own, if it has one.
func (e *Error) Kind() fault.Kind {
	var own interface{ Kind() fault.Kind }
	switch {
	case errors.As(e.Err, &own):
		return own.Kind()
	case e.Status == 0:
		return e.kindUnanswered()
	case e.Status == http.StatusProxyAuthRequired:
		return fault.Proxy
	}
	switch e.meaning() {
	case throttled:
		return fault.Throttled
	case webPage:
		return e.kindOfPage()
	case overQuota:
		return fault.Quota
	case readOnly:
		return fault.ReadOnly
	case immutableTag:
		return fault.Immutable
	case againstPolicy:
		return fault.Policy
	case noRepository:
		return fault.Missing
	case contentUnknown:
		return fault.Answer
	case wrongKind:
		return fault.Unsupported
	case noAccess:
		return e.kindOfDenial()
	}
	return e.kindOfStatus()
}

// kindUnanswered returns the kind of a request without an answer, or with one that cannot be used.
func (e *Error) kindUnanswered() fault.Kind {
	var record tls.RecordHeaderError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.Is(e.Err, context.Canceled) || errors.Is(e.Err, ErrBusy):
		return fault.Unfinished
	case errors.As(e.Err, &certificate) || errors.As(e.Err, &record) || errors.Is(e.Err, http.ErrSchemeMismatch):
		return fault.TLS
	case throughProxy(e.Err):
		return fault.Proxy
	case errors.Is(e.Err, errMalformed):
		return fault.Answer
	case e.Doing == Locating:
		return fault.Credentials
	}
	return fault.Unavailable
}

// kindOfPage returns the kind of an HTML page that came instead of a registry's answer.
func (e *Error) kindOfPage() fault.Kind {
	if e.Status < http.StatusBadRequest {
		return fault.Answer
	}
	return fault.Blocked
}

// Words for credentials that are no longer good, or not good at all, with 403: ECR answers so to
// an expired token. After 401 they are taken to be that, except where the words speak of access:
// Docker Hub and quay answer 401 to good credentials that may not push.
var (
	expiredWords = regexp.MustCompile(`expired|bad credential|(invalid|incorrect|wrong) (user|password|credential|token|login)|log ?in`)
	rightsWords  = regexp.MustCompile(`insufficient.scope|access to the (requested )?resource is (not authorized|denied)`)
)

// kindOfDenial distinguishes bad credentials from good ones that do not allow the request.
func (e *Error) kindOfDenial() fault.Kind {
	said := strings.ToLower(e.Words)
	switch {
	case e.Status == http.StatusForbidden && expiredWords.MatchString(said):
		return fault.Credentials
	case e.Status == http.StatusForbidden || e.Code == "DENIED" || e.Doing != GettingToken && rightsWords.MatchString(said):
		return fault.Denied
	}
	return fault.Credentials
}

// kindOfStatus returns the kind of an answer that has nothing but its status.
func (e *Error) kindOfStatus() fault.Kind {
	switch {
	case e.Status == http.StatusRequestEntityTooLarge:
		return fault.TooLarge
	case e.Status == http.StatusNetworkAuthenticationRequired:
		return fault.Blocked
	case e.Status == http.StatusNotImplemented:
		return fault.Unsupported
	case e.Transient() || e.Status >= http.StatusInternalServerError:
		return fault.Unavailable
	case e.Status < http.StatusBadRequest || e.Code == "BLOB_UPLOAD_UNKNOWN":
		return fault.Answer
	case e.Doing == GettingToken:
		return fault.Credentials
	case e.Status == http.StatusNotFound:
		return fault.Missing
	}
	return fault.Rejected
}

// host returns the host at fault. A token service that refuses credentials is not: they are the
// registry's, where people log in.
func (e *Error) host(kind fault.Kind) string {
	registry, _, _ := strings.Cut(cmp.Or(e.At, e.Name), "/")
	refused := e.Doing == GettingToken && (kind == fault.Credentials || kind == fault.Denied)
	var inner *Error
	switch {
	case kind == fault.Proxy:
		return proxyOf(e.Err, registry)
	case e.Host != "" && !refused:
		return e.Host
	case errors.As(e.Err, &inner) && inner.Host != "":
		return inner.Host
	}
	return registry
}

// proxyOf returns the address of the proxy that an error is about, or otherwise if it has none.
func proxyOf(err error, otherwise string) string {
	var refused *ProxyRefusal
	if errors.As(err, &refused) {
		return refused.Proxy
	}
	for at := err; at != nil; at = errors.Unwrap(at) {
		if dial, ok := at.(*net.OpError); ok && dial.Addr != nil {
			return dial.Addr.String()
		}
	}
	return otherwise
}
