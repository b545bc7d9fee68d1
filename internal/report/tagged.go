package report

import (
	"fmt"

	"imagemirror/internal/secret"
	"imagemirror/internal/stream"
	"imagemirror/internal/text"
)

// A Tagged is an additional tag of an image, beside the one that its mapping names.
type Tagged struct {
	Tag   string `json:"tag,omitempty"`   // absent if it could not be made
	Error string `json:"error,omitempty"` // why the image is without it
}

// extraTagsOf returns what a stream says of the additional tags of an image, bounded and printable.
func extraTagsOf(all []stream.ExtraTag) []Tagged {
	var tags []Tagged
	for _, t := range all[:min(stream.MaxTags, len(all))] {
		one := Tagged{Tag: text.Line(secret.Hide(t.Tag), maxName)}
		if t.Error != nil {
			one.Error = text.Line(secret.Hide(t.Error.Message), maxMessage)
		}
		tags = append(tags, one)
	}
	return tags
}

// keptBy returns the tag under which a copy keeps what was, or "".
func keptBy(c stream.Copy) string {
	if c.Keep == nil {
		return ""
	}
	return text.Line(secret.Hide(c.Keep.Tag), maxName)
}

// warnOfTags warns of the additional tags that images lack.
func (r *Report) warnOfTags() {
	for _, m := range r.Results {
		for _, t := range m.Tags {
			if t.Error != "" && len(r.Summary.Warnings) < maxWarnings {
				r.Summary.Warnings = append(r.Summary.Warnings,
					fmt.Sprintf("%s: %s lacks an additional tag: %s", m.position(), m.Destination, t.Error))
			}
		}
	}
}

// alsoAs returns the additional tags of the image in a few words.
func (r *Result) alsoAs() (words []string) {
	there := 0
	for _, t := range r.Tags {
		if t.Error == "" {
			there++
		}
	}
	switch {
	case there < len(r.Tags):
		words = append(words, fmt.Sprintf("%d of %s", there, text.Count(len(r.Tags), "additional tag")))
	case there > 0:
		words = append(words, text.Count(there, "additional tag"))
	}
	if r.Kept != "" {
		words = append(words, "the old image kept as "+r.Kept)
	}
	return words
}
