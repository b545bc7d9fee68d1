package report

import (
	"math"
	"strings"
	"time"

	"imagemirror/internal/reference"
	"imagemirror/internal/text"
)

// Bounds on what a report keeps, so that one hostile answer does not fill it. Text is counted
// in characters.
const (
	maxName     = 1000
	maxOwner    = 100
	maxMessage  = 2000
	maxOwners   = 50
	maxWarnings = 101
	maxReasons  = 100 // why there is no plan
	maxSeconds  = 1e9
)

// How many characters of a text the table and Markdown show, so that one long name does not
// push the others off the screen. report.json and junit.xml have all of it.
const (
	shownText = 300
	shownName = 200
	shownSet  = 80
)

// formatSeconds returns a time for people, and "" for 0.
func formatSeconds(seconds float64) string {
	d := time.Duration(min(seconds, maxSeconds) * float64(time.Second))
	if d <= 0 {
		return ""
	}
	return text.Round(d).String()
}

// boundTime returns a time in UTC, to the millisecond, or the zero time if it is in no year that a
// run could be in: time.Time has no JSON for years of more than four digits.
func boundTime(t time.Time) time.Time {
	if t = t.UTC().Truncate(time.Millisecond); t.Year() < 2000 || t.Year() > 2999 {
		return time.Time{}
	}
	return t
}

// oldImage returns what the destination's tag pointed to, for people.
func (r *Result) oldImage() string {
	if r.stays() {
		return "stays"
	}
	if r.Old != "" {
		return "moved " + text.ShortDigest(r.Old)
	}
	if d, err := reference.Parse(r.Destination); err == nil && d.Tag == "" {
		return "no tag"
	}
	return "new tag"
}

// shownSource returns the source for people, without most of the digits of its digest.
func (r *Result) shownSource() string {
	name, digest, ok := strings.Cut(r.Source, "@sha256:")
	if !ok {
		return text.Clip(r.Source, shownName)
	}
	return text.Clip(name, shownName) + "@sha256:" + text.ShortDigest(digest) + "…"
}

// sum returns a+b, or the largest number if that is too large.
func sum(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
