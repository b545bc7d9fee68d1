package record

import (
	"errors"

	"imagemirror/internal/digest"
	"imagemirror/internal/report"
	"imagemirror/internal/stream"
	"imagemirror/internal/text"
)

// maxPlatforms bounds the platforms of a destination.
const maxPlatforms = 64

// takePart notes which platforms of its source a destination has. A run that found the index there
// does not know which of its platforms were copied: what is recorded of the same digest stays.
func (d *Destination) takePart(old *Destination, m *report.Result) {
	if m.Status == stream.Current && m.Rewritten == "" && old != nil && old.Digest == m.Digest {
		return
	}
	d.setPart(m.Platforms, m.Rewritten)
}

// setPart sets the platforms that were copied, and the index that they were taken from.
func (d *Destination) setPart(platforms []string, rewritten string) {
	d.Platforms, d.Rewritten = nil, ""
	for _, p := range platforms[:min(len(platforms), maxPlatforms)] {
		d.Platforms = append(d.Platforms, text.Line(p, maxShort))
	}
	if digest.Valid(rewritten) {
		d.Rewritten = rewritten
	}
}

// checkPart fails if Apply does not write such platforms.
func (d *Destination) checkPart() error {
	if len(d.Platforms) > maxPlatforms || d.Rewritten != "" && !digest.Valid(d.Rewritten) {
		return errors.New("it has too many platforms, or an invalid digest that it was rewritten from")
	}
	return checkTexts(maxShort, d.Platforms...)
}
