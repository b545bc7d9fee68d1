package registry

import (
	"net/http"
	"strings"
)

// challenge is how a registry wants to be authenticated to (RFC 9110, section 11.6.1, and RFC 6750).
type challenge struct {
	scheme  string // "bearer", "basic", or "" where the registry asked for nothing
	realm   string // where tokens are to be had
	service string
}

// challengeOf reads the WWW-Authenticate headers of an answer. Bearer goes before Basic where a registry offers both.
func challengeOf(h http.Header) (c challenge, ok bool) {
	for _, value := range h.Values("WWW-Authenticate") {
		scheme, rest, _ := strings.Cut(strings.TrimSpace(value), " ")
		params := parameters(rest)
		switch strings.ToLower(scheme) {
		case "bearer":
			if params["realm"] != "" {
				return challenge{scheme: "bearer", realm: params["realm"], service: params["service"]}, true
			}
		case "basic":
			c, ok = challenge{scheme: "basic"}, true
		}
	}
	return c, ok
}

// parameters reads key=value pairs separated by commas; a value may be quoted and then hold commas and escapes.
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
