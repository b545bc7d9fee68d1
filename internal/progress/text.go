package progress

import (
	"fmt"
	"strings"

	"github.com/vbauerster/mpb/v8/decor"
)

const (
	maxText     = 1000 // characters that are shown of a text from outside
	shortDigest = 12   // characters that are shown of a digest
)

// size is n bytes as people read them, at most ten characters wide.
func size(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("% .1f", decor.SizeB1024(n))
}

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

// short is as much of a digest as tells blobs apart for people.
func short(digest string) string {
	if _, hex, ok := strings.Cut(digest, ":"); ok {
		digest = hex
	}
	return column(digest[:min(len(digest), shortDigest)], shortDigest)
}
