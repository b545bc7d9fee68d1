package progress

import "strings"

const (
	maxText     = 1000 // characters of a text from outside
	shortDigest = 12   // characters of a digest
)

// fitColumn returns s with exactly width characters. Text in a line that moves has to be as wide
// as it is counted, so column replaces everything outside ASCII. Names of repositories and
// digests have nothing else.
func fitColumn(s string, width int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	if cut := len(s) - width; cut > 0 {
		// Cut the middle: a name begins with the registry and ends with what distinguishes it.
		front := (width - 1) / 2
		back := width - 1 - front
		return s[:front] + "…" + s[len(s)-back:]
	}
	return s + strings.Repeat(" ", width-len(s))
}
