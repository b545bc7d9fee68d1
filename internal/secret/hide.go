package secret

import (
	"cmp"
	"slices"
	"strings"
)

// An interval is a part of a text, in bytes.
type interval struct{ from, to int }

// maxNested is how many encodings in one another are undone, such as JSON in a URL.
const maxNested = 3

// hide replaces every secret in a text.
func (s *patterns) hide(text string) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.all) == 0 || len(text) < window {
		return text
	}
	found := s.search(text, nil)
	plain := encoded{text: text}
	for _, kind := range []encoding{percent, percent | plus, backslash, entity, quoted} {
		if one := plain.undo(kind); one.text != text {
			found = append(found, s.search(one.text, one.at)...)
		}
	}
	for _, kinds := range []encoding{percent | backslash | entity, percent | plus | backslash | entity} {
		found = append(found, s.nested(plain, kinds)...)
	}
	return replace(text, found)
}

// nested returns where secrets are in a text with several encodings in one another.
func (s *patterns) nested(e encoded, kinds encoding) (found []interval) {
	for range maxNested {
		before := e.text
		if e = e.undo(kinds); e.text == before {
			break
		}
		found = append(found, s.search(e.text, e.at)...)
	}
	return found
}

// search returns where secrets are in a text. Unless at is nil, it has the place in the original
// of each byte and of the end.
func (s *patterns) search(text string, at []int) []interval {
	var found []interval
	for i := 0; i+window <= len(text); {
		n, step := s.match(text[i:])
		if n > 0 {
			p := interval{i, i + n}
			if at != nil {
				p = interval{at[i], at[i+n]}
			}
			found = append(found, p)
		}
		i += step
	}
	return found
}

// match returns the length of a secret that a text begins with, or 0, and how far to step on. After
// a piece, the next one may begin at the next byte.
func (s *patterns) match(text string) (n, step int) {
	h := hash(text)
	if s.starts[h/64]&(1<<(h%64)) != 0 {
		if n = s.longest(text); n > 0 {
			return n, n
		}
	}
	if s.parts[h/64]&(1<<(h%64)) != 0 && len(text) >= Telling {
		if _, ok := s.pieces[piece([]byte(text[:Telling]))]; ok {
			return Telling, 1
		}
	}
	return 0, 1
}

// longest returns the length of the longest secret, or beginning of one, that a text begins with,
// or 0.
func (s *patterns) longest(text string) int {
	forms := s.by[windowKey([]byte(text[:window]))]
	if len(forms) == 0 {
		return 0
	}
	most := 0
	for n := min(Telling, len(text)); n >= window && most == 0; n-- {
		if f := s.all[text[:n]]; f != nil {
			most = n + rest(text[n:], f.cut)
		}
	}
	// The form that has most in common with the text is beside where it would be.
	at, _ := slices.BinarySearchFunc(forms, text, func(f *form, text string) int { return strings.Compare(f.text, text) })
	for _, f := range forms[max(0, at-1):min(at+1, len(forms))] {
		n := common(text, f.text)
		if n == len(f.text) {
			n += rest(text[n:], f.cut)
		}
		if n >= Telling {
			most = max(most, n)
		}
	}
	return most
}

// common returns the length of what two texts begin with.
func common(a, b string) int {
	most := min(len(a), len(b))
	for i := range most {
		if a[i] != b[i] {
			return i
		}
	}
	return most
}

// rest returns how much of what follows a form belongs to it: the padding of base64, and after a
// form that was cut everything that a token may have.
func rest(text string, cut bool) int {
	n := 0
	for n < len(text) && (text[n] == '=' && (cut || n < 2) || cut && isTokenByte(text[n])) {
		n++
	}
	return n
}

// isTokenByte reports whether a token may have a byte (token68 in RFC 9110, section 11.2), also
// in a URL.
func isTokenByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~+/%", c) >= 0
}

// replace writes the mask over parts of a text.
func replace(text string, parts []interval) string {
	if len(parts) == 0 {
		return text
	}
	slices.SortFunc(parts, func(a, b interval) int { return cmp.Compare(a.from, b.from) })
	var b strings.Builder
	end := 0
	for i, p := range parts {
		if i == 0 || p.from > end {
			b.WriteString(text[end:max(end, p.from)])
			b.WriteString(mask)
		}
		end = max(end, p.to)
	}
	b.WriteString(text[end:])
	return b.String()
}
