package rollback

import (
	"fmt"
	"time"

	"imagemirror/internal/record"
	"imagemirror/internal/text"
)

// A pointInTime is the time that tags go back to. The zero value is before the last
// move of each.
type pointInTime struct{ time.Time }

// forms are the layouts in which people write times. Without a zone, they are in UTC.
var forms = []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly}

// maxNamed bounds what a message quotes.
const maxNamed = 100

// parsePointInTime returns the time that -to names: the end of a run, a time, or an age.
func parsePointInTime(to string, r *record.Record, now time.Time) (pointInTime, error) {
	if to == "" {
		return pointInTime{}, nil
	}
	for _, run := range r.Runs {
		if run.ID == to {
			return pointInTime{run.End}, nil
		}
	}
	if t := movedBy(to, r); !t.IsZero() {
		return pointInTime{t}, nil
	}
	for _, form := range forms {
		if t, err := time.Parse(form, to); err == nil {
			return before(t, now, to)
		}
	}
	if ago, err := text.ParseDuration(to); err == nil && ago > 0 {
		return pointInTime{now.Add(-ago)}, nil
	}
	return pointInTime{}, fmt.Errorf(
		"-to is %q, which is neither a run of the record nor a time: give a run's id, a time such as 2026-03-01T12:00:00Z, or an age such as 36h", text.Line(to, maxNamed))
}

func before(t, now time.Time, to string) (pointInTime, error) {
	if t.After(now) {
		return pointInTime{}, fmt.Errorf("-to is %s, which is not over yet: give an earlier time", text.Line(to, maxNamed))
	}
	return pointInTime{t}, nil
}

// movedBy returns when a run that is not in the record any more, or a rollback, moved a tag last.
func movedBy(run string, r *record.Record) (last time.Time) {
	for _, d := range r.Destinations {
		for _, m := range d.Moves {
			if m.Run == run && m.When.After(last) {
				last = m.When
			}
		}
	}
	return last
}

// digestOf returns the digest that a destination had then. from is the one that its tag has now,
// or "". If the record does not tell, it returns why.
func (m pointInTime) digestOf(d *record.Destination, from string) (digest, why string) {
	if !m.IsZero() {
		return m.recorded(d)
	}
	switch h := d.Hold; {
	case h != nil && (h.Moving || from != h.Digest):
		return h.Digest, "" // an earlier rollback was cut off, or something else moved the tag since
	case d.Digest != "" && from != d.Digest:
		return d.Digest, "" // somebody else moved it last
	case len(d.Moves) < 2:
		return "", "the record has no earlier digest"
	}
	return d.Moves[len(d.Moves)-2].Digest, ""
}

func (m pointInTime) recorded(d *record.Destination) (digest, why string) {
	var last time.Time
	for _, move := range d.Moves { // those of runs that were under way at once are not in order
		if !move.When.After(m.Time) && !move.When.Before(last) {
			digest, last = move.Digest, move.When
		}
	}
	if digest == "" {
		why = "the record does not know what it was at then"
		if len(d.Moves) > 0 {
			why += ": it begins at " + d.Moves[0].When.UTC().Format(time.RFC3339)
		}
	}
	return digest, why
}
