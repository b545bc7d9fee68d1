package registry

import (
	"net/http"
	"slices"
	"strings"

	"imagemirror/internal/regerror"
	"imagemirror/internal/secret"
)

// nextLink returns the target of the first link to a next page in an answer's Link
// headers (RFC 8288), or "" if there is none. A target without angle brackets is
// accepted, and one without a relation if it has the distribution spec's parameter last:
// a page that is left out would go unnoticed.
func nextLink(h http.Header) (string, error) {
	for _, value := range h.Values("Link") {
		for p := (linkParser{rest: value}); p.more(); {
			target, rel, ok := p.link()
			next := slices.Contains(strings.Fields(strings.ToLower(rel)), "next") || rel == "" && strings.Contains(target, "last=")
			switch {
			case !ok || next && target == "":
				return "", regerror.Malformed("the answer has a malformed Link header %.120q", secret.Hide(value))
			case next:
				return target, nil
			}
		}
	}
	return "", nil
}

// A linkParser reads one Link header from its beginning.
type linkParser struct{ rest string }

// more reports whether there is another link. A list may have empty elements (RFC 9110,
// section 5.6.1).
func (p *linkParser) more() bool {
	p.rest = strings.TrimLeft(p.rest, " \t,")
	return p.rest != ""
}

// link reads one link with its parameters. Only the first rel counts (RFC 8288, section
// 3.3). It reports false for a malformed link.
func (p *linkParser) link() (target, rel string, ok bool) {
	if target, ok = p.target(); !ok {
		return "", "", false
	}
	for related := false; p.skip(';'); {
		name := strings.ToLower(p.until("=;,"))
		value := ""
		if p.skip('=') {
			if value, ok = p.value(); !ok {
				return "", "", false
			}
		}
		if name == "rel" && !related {
			rel, related = value, true
		}
	}
	return target, rel, p.rest == "" || p.rest[0] == ','
}

func (p *linkParser) target() (target string, ok bool) {
	if p.skip('<') {
		target, p.rest, ok = strings.Cut(p.rest, ">")
		return strings.TrimSpace(target), ok
	}
	target = p.until(";")
	return target, !strings.ContainsAny(target, "<>\", \t")
}

// value reads a parameter's value: a token or a quoted string. Single quotes are no part of
// the syntax, but meant as quotes.
func (p *linkParser) value() (value string, ok bool) {
	if !p.skip('"') {
		return strings.Trim(p.until(";,"), "'"), true
	}
	var b strings.Builder
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			p.rest = p.rest[i+1:]
			return b.String(), true
		case c == '\\' && i+1 < len(p.rest):
			i++
			b.WriteByte(p.rest[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}

// skip skips blanks and then c. It reports whether c was there.
func (p *linkParser) skip(c byte) bool {
	p.rest = strings.TrimLeft(p.rest, " \t")
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// until reads what comes before any of the characters in end, without blanks around it.
func (p *linkParser) until(end string) string {
	n := strings.IndexAny(p.rest, end)
	if n < 0 {
		n = len(p.rest)
	}
	read := p.rest[:n]
	p.rest = p.rest[n:]
	return strings.Trim(read, " \t")
}
