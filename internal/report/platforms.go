package report

import (
	"bytes"
	"fmt"
	"strings"

	digests "imagemirror/internal/digest"
	"imagemirror/internal/secret"
	"imagemirror/internal/stream"
	"imagemirror/internal/text"
)

// shownPlatforms bounds the platforms of a result.
const shownPlatforms = 64

// takePart takes what a stream says of an image of which some platforms are published.
func (e *pending) takePart(platforms []string, rewritten string) {
	e.Platforms, e.Rewritten = nil, ""
	for _, p := range platforms[:min(len(platforms), shownPlatforms)] {
		e.Platforms = append(e.Platforms, text.Line(secret.Hide(p), maxName))
	}
	if digests.Valid(rewritten) {
		e.Rewritten = rewritten
	}
}

// countRewritten counts the images that take the place of an index at the source.
func (r *Report) countRewritten() {
	for _, m := range r.Results {
		if m.Rewritten != "" && m.Status != stream.Failed {
			r.Summary.Rewritten++
		}
	}
}

// part returns which part of its source the image is in a few words, or "".
func (r *Result) part() string {
	switch only := strings.Join(r.Platforms, ", "); {
	case only == "":
		return ""
	case r.Rewritten == "":
		return "only " + only
	default:
		return "only " + only + ", not signed as " + text.ShortDigest(r.Rewritten) + " is"
	}
}

// withPlatforms returns how many images get only platforms that they lack, as a phrase to append.
func withPlatforms(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", %d with other platforms", n)
}

// rewrittenNote tells what is not for the images that were rewritten in this run, or will be. It
// returns "" if there are none.
func (r *Report) rewrittenNote() string {
	n := 0
	for _, m := range r.Results {
		if m.Rewritten != "" && (m.Status == stream.Copied || m.Status == Planned) {
			n++
		}
	}
	if n == 0 {
		return ""
	}
	verb := "have"
	if n == 1 {
		verb = "has"
	}
	return fmt.Sprintf("%s %s another digest than the source, by platforms.form of the settings: signatures and attestations of the source's index are not for it", text.Count(n, "image"), verb)
}

func (r *Report) tableRewritten(b *bytes.Buffer) {
	if note := r.rewrittenNote(); note != "" {
		tableLines(b, "REWRITTEN", []string{note})
	}
}

func (r *Report) markdownRewritten(p *markdownPage) {
	if note := r.rewrittenNote(); note != "" && p.room() {
		p.line("### Rewritten\n\n%s.\n", note)
	}
}
