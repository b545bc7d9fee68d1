package progress

import "strings"

const (
	maxText     = 1000 // characters that are shown of a text from outside
	shortDigest = 12   // characters that are shown of a digest
)

// column is s in exactly width characters. What stands in a line that moves has to be as wide as it is counted, so it is
// reduced to ASCII, which is all that the names of repositories and digests have.
func column(s string, width int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	if cut := len(s) - width; cut > 0 {
		// In the middle: a name begins with the registry and ends with what tells it from others.
		front := (width - 1) / 2
		back := width - 1 - front
		return s[:front] + "…" + s[len(s)-back:]
	}
	return s + strings.Repeat(" ", width-len(s))
}
