package stream

import (
	"fmt"

	"imagemirror/internal/reference"
)

// MaxTags is the largest number of additional tags of a copy or a result.
const MaxTags = 20

// An ExtraTag is an additional tag of an image, beside the one that a mapping names.
type ExtraTag struct {
	Tag       string `json:"tag,omitempty"`       // "" if it could not be made
	Immutable bool   `json:"immutable,omitempty"` // it must not move if it exists
	Error     *Error `json:"error,omitempty"`     // why the image is without it
}

// checkTags fails unless additional tags are named so that they can be pushed.
func checkTags(what string, tags []ExtraTag, kept string) error {
	if len(tags) > MaxTags {
		return fmt.Errorf("%s has %d additional tags, and at most %d are allowed", what, len(tags), MaxTags)
	}
	if kept != "" {
		tags = append(tags[:len(tags):len(tags)], ExtraTag{Tag: kept})
	}
	for _, t := range tags {
		if t.Tag == "" && t.Error != nil {
			continue
		}
		if r, err := reference.Parse("registry.example/x:" + t.Tag); err != nil || r.Tag != t.Tag {
			return fmt.Errorf("%s has the invalid additional tag %.80q", what, t.Tag)
		}
	}
	return nil
}

// keeps returns the tag that keeps what the destination's tag points at, or "".
func (c Copy) keeps() string {
	if c.Keep == nil {
		return ""
	}
	return c.Keep.Tag
}
