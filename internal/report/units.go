package report

import (
	"fmt"
	"math"
	"strings"
	"time"

	"imagemirror/internal/command"
	"imagemirror/internal/reference"
)

// Bounds on what a result holds, so that one hostile answer does not fill the report. Text is counted in characters.
const (
	maxName     = 1000
	maxOwner    = 100
	maxMessage  = 2000
	maxOwners   = 50
	maxWarnings = 101
	maxSeconds  = 1e9
)

// How much of a text is shown in the table and in Markdown, so that one long name does not push the others off the screen.
// report.json and junit.xml have all of it.
const (
	shownText = 300
	shownName = 200
	shownSet  = 80
)

// text is s as one printable line of at most limit characters and a mark that says that there was more.
func text(s string, limit int) string {
	return command.Clip(command.Printable(command.Clip(s, limit)), limit)
}

// size is n bytes as people read them, in powers of 1024.
func size(n int64) string {
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

// took is a time as people read it, and nothing where there is none.
func took(seconds float64) string {
	d := time.Duration(min(seconds, maxSeconds) * float64(time.Second))
	switch {
	case d <= 0:
		return ""
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// short is as much of a digest as tells images apart for people.
func short(digest string) string {
	_, hex, ok := strings.Cut(digest, ":")
	if !ok {
		hex = digest
	}
	chars := []rune(hex)
	return string(chars[:min(12, len(chars))])
}

// before is what the destination's tag was at, for people.
func (r *Result) before() string {
	if r.Old != "" {
		return short(r.Old)
	}
	if d, err := reference.Parse(r.Destination); err == nil && d.Tag == "" {
		return "no tag"
	}
	return "new tag"
}

// count is n things.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// sum is a+b, and the largest number where that is too large.
func sum(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
