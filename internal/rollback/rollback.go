// Package rollback is the work of the command rollback: it finds out from the record of an image
// set which digest each tag had, and makes the plan that moves the tags back to it. No bytes move:
// the digest is still in the tag's repository, or the tag cannot go back.
//
// A record comes from a cluster or a file that others may have written. A rollback touches only
// tags that a mapping of the set's files names today, and that may move.
package rollback

import (
	"slices"
	"time"

	"imagemirror/internal/imageset"
	"imagemirror/internal/manifest"
	"imagemirror/internal/record"
	"imagemirror/internal/reference"
	"imagemirror/internal/registry"
	"imagemirror/internal/verify"
)

// A Tag is a destination that is asked for.
type Tag struct {
	*record.Destination
	From string // the digest that it has; "" if there is no such tag
	To   string // the digest that it goes back to
	Left string // why it stays as it is and may; "" if it goes back
	Err  error  // why it cannot go back, although somebody asked for it

	at, source reference.Reference
	held       string // digest that the source has now, unless the tag is held for a time
	manifest   manifest.Raw
	platforms  []string // that are there of a sparse index, as Ask has found
}

// MustMove reports whether the tag has to be moved.
func (t *Tag) MustMove() bool { return t.chosen() && t.From != t.To }

// chosen reports whether the tag is to be at its To afterwards.
func (t *Tag) chosen() bool { return t.Err == nil && t.Left == "" }

// Options are what a rollback is made of.
type Options struct {
	Client *registry.Client
	Set    *imageset.Set
	Record *record.Record
	Names  []string // of tags or of repositories, for all tags; none: all tags of the set
	To     string   // a run or a time; "": before the last move
	For    time.Duration
	By     string
	Why    string
	Now    func() time.Time
}

// A Rollback is what would be done.
type Rollback struct {
	Tags []*Tag // by name

	options Options
	moment  pointInTime
}

// Count returns how many tags fail a test of them.
func (r *Rollback) Count(test func(*Tag) bool) int {
	n := 0
	for _, t := range r.Tags {
		if test(t) {
			n++
		}
	}
	return n
}

// IsUnverified reports whether the tag moves to an image whose signature the set or the policy
// demands. A rollback verifies none: what the source has of it may be gone.
func (r *Rollback) IsUnverified(t *Tag) bool {
	return t.MustMove() && slices.ContainsFunc(r.options.Set.Demands(t.source, t.at), func(d *verify.Demand) bool { return len(d.Signers) > 0 })
}

// Holds returns the holds of the tags that are at their digest afterwards, by name. A tag that
// goes back to what its source has needs none: then the hold is nil.
func (r *Rollback) Holds() map[string]*record.Hold {
	holds := map[string]*record.Hold{}
	for _, t := range r.Tags {
		if t.chosen() {
			holds[t.Name] = r.holdOf(t)
		}
	}
	return holds
}

func (r *Rollback) holdOf(t *Tag) *record.Hold {
	o := r.options
	if o.For == 0 && t.held == t.To {
		return nil
	}
	h := record.NewHold(t.To, o.Now(), o.By, o.Why)
	if o.For > 0 {
		h.Until = h.Since.Add(o.For)
	} else {
		h.Source = t.held
	}
	return h
}
