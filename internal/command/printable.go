package command

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable is s as one line that is safe to show: whatever a terminal could act on or would hide, such as control
// characters, line ends, and marks that turn the direction of writing, becomes its Go escape, and what is
// not UTF-8 becomes U+FFFD.
func Printable(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if strings.IndexFunc(s, hidden) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if hidden(r) {
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func hidden(r rune) bool { return !unicode.IsPrint(r) }

// Clip is the first limit characters of s, and "…" where there are more.
func Clip(s string, limit int) string {
	if len(s) <= limit || utf8.RuneCountInString(s) <= limit {
		return s
	}
	n := 0
	for i := range s {
		if n == limit {
			return s[:i] + "…"
		}
		n++
	}
	return s
}
