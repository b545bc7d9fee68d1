package plan

import (
	"cmp"
	"fmt"
	"time"

	"imagemirror/internal/fault"
	"imagemirror/internal/reference"
	"imagemirror/internal/text"
)

// isHeld reports whether a destination is held, and sets why. source is the digest that its source
// has, and wanted the one that it would get. It is an error if the tag is not where it is held: a
// rollback was cut off, or somebody else moved the tag.
func (t *target) isHeld(source, wanted string) bool {
	if t.recorded == nil || t.recorded.Hold == nil || t.recorded.Hold.IsOver(source, time.Now()) {
		return false
	}
	h := t.recorded.Hold
	switch {
	case t.old != h.Digest:
		t.err = fault.New(fault.Fault{
			Kind: fault.Moved, Side: reference.Destination, Host: t.destination.Registry,
			Advice: "roll it back again, or release it",
		}, fmt.Sprintf("the tag %s is at %s, but it is %s: something else moved it, or a rollback was cut off",
			t.destination.Tag, cmp.Or(text.ShortDigest(t.old), "no image"), h.Story()))
	case t.old != wanted:
		t.held = h.Story()
	default:
		return false // it is where its source is
	}
	return true
}

// mayBeHeld reports whether the tag would move although it may be held, and sets the error: a
// record that could not be read once must not undo a rollback. A lost record has no holds.
func (t *target) mayBeHeld() bool {
	if t.unread == nil || t.destination.Tag == "" || t.old == "" || t.old == t.digest {
		return false
	}
	t.err = fault.New(fault.Fault{
		Kind: fault.Internal, Advice: "make the record readable, and run again",
	}, fmt.Sprintf("the tag %s stays at %s: the record that says whether it is held cannot be read: %v", t.destination.Tag, text.ShortDigest(t.old), t.unread))
	return true
}
