package secret

import (
	"html"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// An encoding is a set of ways to write characters as others.
type encoding int

const (
	percent   encoding = 1 << iota // of URLs and forms
	plus                           // of blanks in forms
	backslash                      // of JSON and Go
	entity                         // of HTML and XML
	quoted                         // of mail: quoted-printable (RFC 2045, section 6.7)
)

// encoded is a text with the place of each byte in the original. at is nil for the original.
type encoded struct {
	text string
	at   []int // one longer than text
}

// undo returns the text with some encodings undone once. What is not valid stays.
func (e encoded) undo(kinds encoding) encoded {
	if !strings.ContainsAny(e.text, kinds.marks()) {
		return e
	}
	var b strings.Builder
	at := make([]int, 0, len(e.text)+1)
	for i := 0; i < len(e.text); {
		char, n := kinds.next(e.text[i:])
		b.WriteString(char)
		for range len(char) {
			at = append(at, e.place(i))
		}
		i += n
	}
	return encoded{b.String(), append(at, e.place(len(e.text)))}
}

// place returns the place of a byte in the original.
func (e encoded) place(i int) int {
	if e.at == nil {
		return i
	}
	return e.at[i]
}

// marks returns the characters that something encoded begins with.
func (kinds encoding) marks() string {
	marks := ""
	if kinds&percent != 0 {
		marks += "%"
	}
	if kinds&plus != 0 {
		marks += "+"
	}
	if kinds&backslash != 0 {
		marks += `\`
	}
	if kinds&entity != 0 {
		marks += "&"
	}
	if kinds&quoted != 0 {
		marks += "="
	}
	return marks
}

// next returns the first character of a text, decoded, and how many bytes it takes there.
func (kinds encoding) next(s string) (char string, n int) {
	switch c := s[0]; {
	case c == '%' && kinds&percent != 0 && len(s) >= 3:
		if v, err := strconv.ParseUint(s[1:3], 16, 8); err == nil {
			return string([]byte{byte(v)}), 3
		}
	case c == '=' && kinds&quoted != 0:
		return quotedPrintable(s)
	case c == '+' && kinds&plus != 0:
		return " ", 1
	case c == '\\' && kinds&backslash != 0 && len(s) >= 2:
		return escaped(s)
	case c == '&' && kinds&entity != 0:
		if end := strings.IndexByte(s[:min(len(s), 12)], ';'); end > 0 {
			if char := html.UnescapeString(s[:end+1]); len(char) <= utf8.UTFMax {
				return char, end + 1
			}
		}
	}
	return s[:1], 1
}

// quotedPrintable decodes an escape of quoted-printable, which may be a break of a long line.
func quotedPrintable(s string) (char string, n int) {
	for _, end := range []string{"=\r\n", "=\n"} {
		if strings.HasPrefix(s, end) {
			return "", len(end)
		}
	}
	if len(s) >= 3 {
		if v, err := strconv.ParseUint(s[1:3], 16, 8); err == nil {
			return string([]byte{byte(v)}), 3
		}
	}
	return s[:1], 1
}

// escaped decodes an escape of JSON or Go.
func escaped(s string) (char string, n int) {
	digits := map[byte]int{'u': 4, 'U': 8, 'x': 2}[s[1]]
	if digits == 0 {
		if i := strings.IndexByte("nrtbfav", s[1]); i >= 0 {
			return "\n\r\t\b\f\a\v"[i : i+1], 2
		}
		return s[1:2], 2 // a quote, a slash or a backslash
	}
	v, ok := escapedDigits(s, digits)
	switch {
	case !ok:
		return s[:1], 1
	case s[1] == 'x':
		return string([]byte{byte(v)}), 2 + digits
	}
	if low, ok := escapedDigits(s[2+digits:], digits); ok && utf16.DecodeRune(v, low) != utf8.RuneError { // JSON writes some characters as two
		return string(utf16.DecodeRune(v, low)), 2 * (2 + digits)
	}
	return string(v), 2 + digits
}

// escapedDigits returns the number of an escape with so many digits.
func escapedDigits(s string, digits int) (rune, bool) {
	if len(s) < 2+digits || s[0] != '\\' {
		return 0, false
	}
	v, err := strconv.ParseUint(s[2:2+digits], 16, 32)
	return rune(v), err == nil
}
