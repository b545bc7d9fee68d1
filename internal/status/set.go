package status

import (
	"time"

	"imagemirror/internal/link"
	"imagemirror/internal/record"
	"imagemirror/internal/settings"
)

// An Active is a run that has not ended, so that no record has it yet.
type Active struct {
	Set   string
	Run   string
	Since time.Time // zero if it has not begun
}

// A set is a record, and what follows from it at one moment.
type set struct {
	*record.Record
	id     string
	at     time.Time // the moment
	state  State
	since  time.Time // since when it is failing or overdue
	next   time.Time // start of the next run; zero if none is scheduled
	active []Active
	counts map[State]int // of destinations
	stale  int           // destinations
}

func newSet(r *record.Record) *set {
	s := &set{Record: r, id: link.ID(r.Set), counts: map[State]int{}}
	for _, d := range r.Destinations {
		s.counts[stateOf(d)]++
	}
	return s
}

// stateOf returns the state of a destination.
func stateOf(d *record.Destination) State {
	switch {
	case !d.Gone.IsZero():
		return Gone
	case !d.FailingSince.IsZero():
		return Failing
	case d.Hold != nil:
		return Held
	case d.LastGood.IsZero():
		return Waiting
	}
	return Good
}

// judge finds out the state of the set at a moment.
func (s *set) judge(now time.Time) {
	s.at = now
	due, late := dueAfter(s.Runs, s.Schedule, now)
	s.next = settings.NextStart(s.Schedule, now)
	for _, d := range s.Destinations {
		if s.isStale(d) {
			s.stale++
		}
	}
	switch {
	case !s.Healthy() || s.counts[Failing] > 0:
		s.state, s.since = Failing, s.failingSince()
	case late && len(s.active) == 0:
		s.state, s.since = Overdue, due
	case s.LastRun() == nil:
		s.state = Waiting
	default:
		s.state = Good
	}
}

// isStale reports whether a destination has not been good for longer than the set's settings allow.
func (s *set) isStale(d *record.Destination) bool {
	limit := time.Duration(min(s.StaleSeconds, maxSeconds)) * time.Second
	last := d.LastGood
	if last.IsZero() {
		last = d.FailingSince
	}
	return limit > 0 && d.Gone.IsZero() && !last.IsZero() && s.at.Sub(last) > limit
}

// maxSeconds is the most that a duration holds.
const maxSeconds = int64(1<<63-1) / int64(time.Second)

// failingSince returns when the set began to fail: with the first of its destinations that fail
// now, or with the first run that was not good after the last that was.
func (s *set) failingSince() time.Time {
	var since time.Time
	earlier := func(t time.Time) {
		if !t.IsZero() && (since.IsZero() || t.Before(since)) {
			since = t
		}
	}
	for _, d := range s.Destinations {
		if stateOf(d) == Failing {
			earlier(d.FailingSince)
		}
	}
	for i := len(s.Runs) - 1; i >= 0 && s.Runs[i].Verdict != record.Good; i-- {
		earlier(s.Runs[i].End)
	}
	return since
}

// run returns the run with an id, and those before and after it, or nil for each that is missing.
func (s *set) run(id string) (before, at, after *record.Run) {
	for i := len(s.Runs) - 1; i >= 0; i-- {
		if link.ID(s.Runs[i].ID) != id {
			after = s.Runs[i]
			continue
		}
		if i > 0 {
			before = s.Runs[i-1]
		}
		return before, s.Runs[i], after
	}
	return nil, nil, nil
}

// total returns how many destinations the set has now.
func (s *set) total() int { return len(s.Destinations) - s.counts[Gone] }

// lastGood returns the end of the last good run, or zero.
func (s *set) lastGood() time.Time {
	if run := s.LastGood(); run != nil {
		return run.End
	}
	return time.Time{}
}

// causeOf returns the cause of a destination's failure, or nil.
func (s *set) causeOf(d *record.Destination) *record.Cause {
	for _, c := range s.Causes {
		if c.Key == d.Cause {
			return c
		}
	}
	return nil
}
