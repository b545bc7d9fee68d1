package record

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"imagemirror/internal/digest"
	"imagemirror/internal/report"
	"imagemirror/internal/stream"
	"imagemirror/internal/text"
)

// A Hold keeps a destination at a digest that its source does not have. It is over when the source
// has another digest than at the time of the hold or, if Until is set, at that time.
//
// rollback records a hold before it moves the tag, so that no moved tag is without one. Until it
// has recorded the move too, the hold is Moving.
type Hold struct {
	Digest string    `json:"digest"`           // that the destination is held at
	Source string    `json:"source,omitempty"` // the source's digest then; "" if Until is set
	Until  time.Time `json:"until,omitzero"`
	Since  time.Time `json:"since"`
	By     string    `json:"by,omitempty"`  // who asked for it
	Why    string    `json:"why,omitempty"` // in their words
	Moving bool      `json:"moving,omitempty"`
}

// Bounds on the texts of a hold, in characters.
const (
	maxBy  = 100
	maxWhy = 300
)

// NewHold returns a hold of a digest from now on. by and why are cut to their bounds.
func NewHold(digest string, now time.Time, by, why string) *Hold {
	return &Hold{Digest: digest, Since: now.UTC(), By: text.Line(by, maxBy), Why: text.Line(why, maxWhy), Moving: true}
}

// IsOver reports whether the destination moves again, if its source has a digest now.
func (h *Hold) IsOver(source string, now time.Time) bool {
	if !h.Until.IsZero() {
		return !now.Before(h.Until)
	}
	return source != "" && source != h.Source
}

// String tells until when a destination is held. A nil hold means that it is not.
func (h *Hold) String() string {
	if h == nil {
		return "not held, because its source has this image"
	}
	return "held " + h.end()
}

func (h *Hold) end() string {
	if h.Until.IsZero() {
		return "until its source moves"
	}
	return "until " + h.Until.UTC().Format(time.RFC3339)
}

// Story tells since when, by whom and why a destination is held, and until when.
func (h *Hold) Story() string {
	s := fmt.Sprintf("held at %s %s, since %s", text.ShortDigest(h.Digest), h.end(), h.Since.UTC().Format(time.RFC3339))
	if h.By != "" {
		s += " by " + h.By
	}
	if h.Why != "" {
		s += ": " + h.Why
	}
	return s
}

func (h *Hold) check() error {
	switch {
	case !digest.Valid(h.Digest) || h.Until.IsZero() && !digest.Valid(h.Source):
		return errors.New("its hold has an invalid digest")
	case h.Since.IsZero():
		return errors.New("its hold has no time")
	}
	return errors.Join(checkTexts(maxBy, h.By), checkTexts(maxWhy, h.Why))
}

// Held returns the destinations that are held, by name, without those that no mapping names.
func (r *Record) Held() []*Destination {
	var held []*Destination
	for _, d := range r.Destinations {
		if d.Hold != nil && d.Gone.IsZero() {
			held = append(held, d)
		}
	}
	return held
}

// edited returns a record in which edit has changed a copy of each destination that edits names.
func edited[T any](r *Record, edits map[string]T, now time.Time, edit func(*Destination, T)) *Record {
	next := *r
	next.Updated, next.Destinations = now.UTC(), slices.Clone(r.Destinations)
	for i, d := range next.Destinations {
		if how, ok := edits[d.Name]; ok {
			other := *d
			edit(&other, how)
			next.Destinations[i] = &other
		}
	}
	return &next
}

// WithHolds returns the record with holds of its destinations, by name. A hold that is nil is
// released.
func (r *Record) WithHolds(holds map[string]*Hold, now time.Time) *Record {
	return edited(r, holds, now, func(d *Destination, h *Hold) { d.Hold = h })
}

// RollbackID begins the names of rollbacks, which stand for runs in the history of destinations.
const RollbackID = "rollback-"

// IsRollback reports whether a rollback moved the tag.
func (m *Move) IsRollback() bool { return strings.HasPrefix(m.Run, RollbackID) }

// A RolledBack is a destination whose tag went back to an earlier digest.
type RolledBack struct {
	From, To  string
	Platforms []string // that are known to be there of a sparse index
}

// WithRolledBack returns the record with destinations that were rolled back, by name. The id stands
// for the run in their history.
func (r *Record) WithRolledBack(moved map[string]RolledBack, now time.Time, id string) *Record {
	return edited(r, moved, now, func(d *Destination, m RolledBack) {
		d.move(m.From, now.UTC(), id) // by somebody else, if it was not there before
		d.move(m.To, now.UTC(), id)
		if len(m.Platforms) > 0 {
			d.setPart(m.Platforms, "")
		}
		if n := len(d.Moves) - 1; n >= 0 && m.From != m.To {
			pushed := *d.Moves[n] // which another record shares
			pushed.Wrote = true
			d.Moves = append(d.Moves[:n:n], &pushed)
		}
		if d.Hold != nil && d.Hold.Digest == m.To {
			d.Hold = d.Hold.settled()
		}
	})
}

// settled returns the hold of a tag that is known to be at the digest.
func (h *Hold) settled() *Hold {
	next := *h
	next.Moving = false
	return &next
}

// hold returns the hold of a destination after the run's result for it. A run that began before the
// hold may not have known of it.
func (a *application) hold(h *Hold, m *report.Result) *Hold {
	if h == nil || !a.run.Start.After(h.Since) {
		return h
	}
	switch {
	case m.Status == stream.Held:
		return h.settled()
	case m.Status == stream.Copied || m.Status == stream.Current:
		if h.IsOver(m.Digest, a.run.End) {
			return nil
		}
	case h.IsOver("", a.run.End):
		return nil
	}
	return h
}
