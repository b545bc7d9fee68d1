// Package text makes text for people: names and messages from outside that are safe to show, and
// numbers in the form in which people read them.
package text

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// IsPrintable reports whether s is valid UTF-8 and each of its characters can be seen. Control
// characters, line ends and marks that turn the direction of writing are not printable.
func IsPrintable(s string) bool { return utf8.ValidString(s) && strings.IndexFunc(s, hidden) < 0 }

// Printable returns s as one line that is safe to show. It writes characters that are not printable
// as their Go escapes, and U+FFFD for bytes that are not UTF-8.
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

// Clip returns the first limit characters of s, and "…" after them if there are more.
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

// Quote returns the first limit characters of s between quotes, escaped as in Go.
func Quote(s string, limit int) string { return strconv.Quote(Clip(s, limit)) }

// Line returns s as one printable line of at most limit characters, and "…" after them if there
// are more. An escape counts as the characters that it is written with.
func Line(s string, limit int) string { return Clip(Printable(Clip(s, limit)), limit) }

// Size returns n bytes in powers of 1024, such as "1.5 KiB". It is at most ten characters wide.
func Size(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v := float64(n) / 1024
	unit := 0
	for v >= 1023.95 {
		v /= 1024
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", v, "KMGTPE"[unit])
}

// ShortDigest returns as much of a digest as people need to tell images apart: the first twelve
// characters after the algorithm.
func ShortDigest(digest string) string {
	if _, hex, ok := strings.Cut(digest, ":"); ok {
		digest = hex
	}
	chars := []rune(digest)
	return string(chars[:min(12, len(chars))])
}

// Round rounds d to the precision that people read: seconds from a minute on, tenths of a second
// from a second on, and milliseconds below.
func Round(d time.Duration) time.Duration {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond)
	case d < time.Minute:
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Second)
}

// Count returns a number with a noun: "1 mapping", "2 mappings".
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// ParseDuration reads a time such as 90m, 5h or 30d. A day has 24 hours.
func ParseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(s)
}

// Duration returns d without the trailing parts that are zero, as people write it: "5h", not
// "5h0m0s".
func Duration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
