package auth

import (
	"net/http"
	"net/url"
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

// ParseChallenge reads the challenges of an answer. It prefers Bearer, which needs a
// realm, to Basic, and ignores other schemes, such as Negotiate.
func ParseChallenge(resp *http.Response) (c Challenge, ok bool) {
	for _, offer := range offers(resp.Header.Values("WWW-Authenticate")) {
		switch offer.scheme {
		case bearer:
			if realm := strings.TrimSpace(offer.params["realm"]); realm != "" {
				return Challenge{scheme: bearer, realm: resolveRealm(resp, realm), service: offer.params["service"]}, true
			}
		case basic:
			c, ok = Challenge{scheme: basic}, true
		}
	}
	return c, ok
}

// resolveRealm returns the address of a token service. It may be relative to the request, as
// any reference may (RFC 3986, section 4.1).
func resolveRealm(resp *http.Response, realm string) string {
	to, err := url.Parse(realm)
	if err != nil || to.IsAbs() || resp.Request == nil {
		return realm
	}
	return resp.Request.URL.ResolveReference(to).String()
}

// An offer is one challenge of a list.
type offer struct {
	scheme string // in lower case
	params map[string]string
}

// offers reads lists of challenges. Each of them is a scheme, and after it a token68 or
// parameters; both the challenges and their parameters are separated by commas (RFC
// 9110, section 11.6.1). A name without an equals sign begins a challenge.
func offers(lists []string) []offer {
	var all []offer
	for _, s := range lists {
		current := offer{} // of a list that begins with a parameter
		for {
			if s = strings.TrimLeft(s, " \t,"); s == "" {
				break
			}
			var name string
			name, s = cutName(s)
			if name == "" { // no character of a name: what it belongs to is lost
				s = afterComma(s)
				continue
			}
			if rest, ok := strings.CutPrefix(strings.TrimLeft(s, " \t"), "="); ok {
				var value string
				value, s = parameterValue(strings.TrimLeft(rest, " \t"))
				if current.params != nil {
					current.params[strings.ToLower(name)] = value
				}
				continue
			}
			current = offer{strings.ToLower(name), map[string]string{}}
			all = append(all, current)
			s = afterToken68(s)
		}
	}
	return all
}

// cutName cuts a scheme or a parameter's name off s (a token in RFC 9110, section
// 5.6.2).
func cutName(s string) (name, rest string) {
	end := strings.IndexFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
	if end < 0 {
		end = len(s)
	}
	return s[:end], s[end:]
}

// afterToken68 returns what follows the token68 of a scheme, such as Negotiate's, or s if
// the scheme has no token68.
func afterToken68(s string) string {
	rest := strings.TrimLeft(s, " \t")
	rest = strings.TrimLeftFunc(rest, func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-._~+/", r)
	})
	rest = strings.TrimLeft(strings.TrimLeft(rest, "="), " \t")
	if rest == "" || rest[0] == ',' {
		return rest
	}
	return s
}

func afterComma(s string) string {
	_, rest, _ := strings.Cut(s, ",")
	return rest
}

// parameterValue cuts the value of a parameter off s. A quoted value may have commas
// and escapes. One without quotes ends at a comma: some registries write addresses so.
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
