package auth

import (
	"net/http"
	"strings"
)

// The schemes of a Challenge.
const (
	basic  = "basic"
	bearer = "bearer"
)

// A Challenge says which authentication a registry asks for (RFC 9110, section
// 11.6.1, and RFC 6750). The zero Challenge is that of a registry that asked for
// nothing.
type Challenge struct {
	scheme  string // basic, bearer or ""
	realm   string // address of the token service
	service string // the registry's name there
}

// IsZero reports whether the registry asked for nothing.
func (c Challenge) IsZero() bool { return c == Challenge{} }

// HasTokens reports whether the registry has a token service.
func (c Challenge) HasTokens() bool { return c.scheme == bearer }

// CreatesRepositories reports whether asking for a token to push makes the repository.
// Quay does that, in endpoints/v2/v2auth.py of https://github.com/quay/quay, and is
// known by the path of its token service.
func (c Challenge) CreatesRepositories() bool { return strings.HasSuffix(c.realm, "/v2/auth") }

// ParseChallenge reads the WWW-Authenticate headers of an answer. It prefers Bearer
// when a registry offers Basic, too.
func ParseChallenge(h http.Header) (c Challenge, ok bool) {
	for _, value := range h.Values("WWW-Authenticate") {
		scheme, rest, _ := strings.Cut(strings.TrimSpace(value), " ")
		params := parameters(rest)
		switch strings.ToLower(scheme) {
		case bearer:
			if params["realm"] != "" {
				return Challenge{scheme: bearer, realm: params["realm"], service: params["service"]}, true
			}
		case basic:
			c, ok = Challenge{scheme: basic}, true
		}
	}
	return c, ok
}

// parameters reads key=value pairs separated by commas; a value may be quoted and then
// hold commas and escapes.
func parameters(s string) map[string]string {
	p := map[string]string{}
	for {
		s = strings.TrimLeft(s, " \t,")
		key, rest, ok := strings.Cut(s, "=")
		if !ok {
			return p
		}
		var value string
		value, s = parameterValue(rest)
		p[strings.ToLower(strings.TrimSpace(key))] = value
	}
}

func parameterValue(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		value, rest, _ = strings.Cut(s, ",")
		return strings.TrimSpace(value), rest
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), s[i+1:]
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), ""
}
