package docs

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// Prose is wrapped, so that it is read and compared without scrolling. Tables and code may be
// wider, and so may a link that has a line of its own.
func TestProseIsWrapped(t *testing.T) {
	const limit = 100
	for _, file := range markdown(t) {
		inCode := false
		number := 0
		for line := range strings.Lines(read(t, file)) {
			number++
			line = strings.TrimRight(line, "\n")
			text := strings.TrimSpace(line)
			if strings.HasPrefix(text, "```") {
				inCode = !inCode
			}
			wide := utf8.RuneCountInString(line) > limit
			if wide && !inCode && !strings.HasPrefix(text, "|") && !strings.HasPrefix(line, "    ") && strings.Contains(text, " ") {
				t.Errorf("%s:%d has %d columns, want %d at most: wrap the line", file, number, utf8.RuneCountInString(line), limit)
			}
		}
	}
}
