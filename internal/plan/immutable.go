package plan

import (
	"fmt"

	"imagemirror/internal/fault"
	"imagemirror/internal/reference"
)

// kept reports whether an immutable tag exists at the destination and its source has the same
// tag. It is then current, whatever the source's tag points to now, and the source need not
// be asked.
func (r *resolver) kept(t *target) bool {
	if t.old == "" || !t.mayBeKept() || t.madeOfUnknown() {
		return false
	}
	t.digest = t.old
	return true
}

// mayBeKept reports whether the target is kept if its tag exists.
func (t *target) mayBeKept() bool {
	return t.immutable && t.source.Digest == "" && t.source.Tag == t.destination.Tag
}

// moved returns the error of a target whose immutable tag would have to move.
func (t *target) moved() error {
	return fault.New(fault.Fault{
		Kind: fault.Immutable, Side: reference.Destination, Host: t.destination.Registry,
		Advice: "mirror the new image to another tag, or remove the tag from spec.immutable in the set's settings.yaml",
	}, fmt.Sprintf("the tag %s is immutable and points to %s, but its source is %s: the tag was not moved", t.destination.Tag, t.old, t.digest))
}
