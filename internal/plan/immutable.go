package plan

import (
	"fmt"

	"imagemirror/internal/stream"
)

// kept says whether an immutable tag is there under its source's name, and so is current: what its source's tag is at
// now makes no difference, and need not be asked for.
func (r *resolver) kept(t *target) bool {
	if !t.immutable || t.old == "" || t.source.Digest != "" || t.source.Tag != t.destination.Tag {
		return false
	}
	t.digest = t.old
	return true
}

// moved is why a target fails whose tag would have to move and is immutable.
func (t *target) moved() error {
	return stream.WithAdvice(
		fmt.Sprintf("the tag %s is immutable and at %s, and its source is at %s: it stays where it is", t.destination.Tag, t.old, t.digest),
		"mirror the new image to a tag of its own, or take the tag out of spec.immutable in the set's settings.yaml")
}
