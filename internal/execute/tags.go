package execute

import (
	"imagemirror/internal/mirror"
	"imagemirror/internal/stream"
)

// extraTags returns the additional tags of a copy, and the one that keeps what was.
func extraTags(c stream.Copy) (tags []mirror.ExtraTag, keep *mirror.ExtraTag) {
	for _, t := range c.Tags {
		one := mirror.ExtraTag{Tag: t.Tag, Immutable: t.Immutable}
		if t.Error != nil {
			one.Err = t.Error
		}
		tags = append(tags, one)
	}
	if c.Keep != nil {
		keep = &mirror.ExtraTag{Tag: c.Keep.Tag, Immutable: c.Keep.Immutable}
	}
	return tags, keep
}

// taggedOf returns what became of the additional tags of an image.
func taggedOf(o mirror.Outcome) []stream.ExtraTag {
	var all []stream.ExtraTag
	for _, t := range o.Tagged {
		one := stream.ExtraTag{Tag: t.Tag}
		if t.Err != nil {
			one.Error = stream.ErrorOf(t.Err)
		}
		all = append(all, one)
	}
	return all
}
