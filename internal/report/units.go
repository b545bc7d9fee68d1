package report

import (
	"fmt"
	"math"
	"time"

	"imagemirror/internal/reference"
	"imagemirror/internal/text"
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

// took returns a time as people read it, and "" if there is none.
func took(seconds float64) string {
	d := time.Duration(min(seconds, maxSeconds) * float64(time.Second))
	if d <= 0 {
		return ""
	}
	return text.Round(d).String()
}

// before is what the destination's tag was at, for people.
func (r *Result) before() string {
	if r.Old != "" {
		return text.ShortDigest(r.Old)
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
