package registry

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"imagemirror/internal/fault"
	"imagemirror/internal/regerror"
	"imagemirror/internal/secret"
)

// maxRedirects bounds the redirects of one request.
const maxRedirects = 10

// ErrSentOnce means that a registry redirected a request after its body was read, and
// the body is not a Rewinder. The next request with a body asks before it sends that.
var ErrSentOnce = errors.New("the registry redirected the upload after it was sent")

// redirect returns the address that an answer to a request for u leads to, or nil if it
// leads nowhere. hop counts the redirects so far.
func (h *host) redirect(resp *http.Response, method string, u *url.URL, hop int) (*url.URL, error) {
	if !isRedirect(resp.StatusCode) {
		return nil, nil
	}
	value := resp.Header.Get("Location")
	to, err := resolveLocation(u, value)
	if err == nil && to.Scheme == "http" && u.Scheme == "https" && sameHost(to, u) {
		to.Scheme, to.Host = u.Scheme, u.Host // front servers that terminate TLS are known to write http
	}
	switch {
	case value == "":
		return nil, misleads(resp, "the redirect has no Location")
	case err != nil || to.Host == "" || to.Scheme != "https" && to.Scheme != "http":
		return nil, misleads(resp, "the redirect has an invalid Location %s", shownAddress(value))
	case to.String() == u.String():
		return nil, misleads(resp, "the redirect leads to itself")
	case hop == maxRedirects:
		return nil, misleads(resp, "more than %d redirects, the last to %s", maxRedirects, shownAddress(to.String()))
	case to.Scheme == "http" && u.Scheme == "https" && !h.allowsPlainHTTP():
		return nil, misleads(resp, "the redirect leads from https to plain http")
	case method == http.MethodGet || method == http.MethodHead || keepsMethod(resp.StatusCode):
		return to, nil
	case resp.StatusCode == http.StatusSeeOther:
		return nil, misleads(resp, "a %s was redirected to a GET of something else, %s", method, shownAddress(to.String()))
	case !sameAddress(u, to):
		return nil, misleads(resp, "a %s was redirected to another address, %s: only 307 and 308 may do that", method, shownAddress(to.String()))
	}
	return to, nil
}

func isRedirect(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther:
		return true
	}
	return keepsMethod(status)
}

// keepsMethod reports whether a redirect asks for the same request at another address
// (RFC 9110, section 15.4). After 301 and 302 many clients send a GET. Front servers that
// answer so to an upload mean the same request if they lead to the same address in
// another form.
func keepsMethod(status int) bool {
	return status == http.StatusTemporaryRedirect || status == http.StatusPermanentRedirect
}

// sameAddress reports whether two addresses differ in their form only: TLS or not, the
// host's case, a default port, a slash at the end.
func sameAddress(a, b *url.URL) bool {
	return sameHost(a, b) && strings.TrimSuffix(a.EscapedPath(), "/") == strings.TrimSuffix(b.EscapedPath(), "/")
}

// sameHost reports whether two addresses have the same host and port, or the same host
// and the default ports of their schemes.
func sameHost(a, b *url.URL) bool {
	return withPort(a.Host, a.Scheme) == withPort(b.Host, a.Scheme) || withPort(a.Host, b.Scheme) == withPort(b.Host, b.Scheme)
}

// resolveLocation returns the address in the Location of an answer to a request for u. Blanks and
// other characters that must be escaped in an address may be there as they are, as in
// the signed addresses of some object stores.
func resolveLocation(u *url.URL, location string) (*url.URL, error) {
	var b strings.Builder
	for i := range len(location) {
		if c := location[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`"<>`, c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return u.Parse(b.String())
}

// shownAddress returns an address for an error, without what may be secret in it.
func shownAddress(address string) string {
	address = secret.Hide(address)
	address, _, _ = strings.Cut(address, "?")
	if scheme, rest, ok := strings.Cut(address, "://"); ok {
		host, path, _ := strings.Cut(rest, "/")
		address = scheme + "://" + host[strings.LastIndex(host, "@")+1:] + "/" + path
	}
	return fmt.Sprintf("%.120q", address)
}

// misleads returns the error of a redirect that is not followed.
func misleads(resp *http.Response, format string, args ...any) error {
	return &regerror.Error{Status: resp.StatusCode, Err: misleading(fmt.Sprintf(format, args...))}
}

// A misleading error is about a redirect.
type misleading string

func (m misleading) Error() string { return string(m) }

// Kind returns what kind of failure the error is the cause of.
func (m misleading) Kind() fault.Kind { return fault.Answer }

// Advice returns what a person can do about the error.
func (m misleading) Advice() string {
	return "check the registry's name in the mapping file; if it is right, ask its operators about the redirect"
}
