package report

import (
	"time"

	"imagemirror/internal/stream"
)

// BySet returns the report of each image set that has results, by its name. What is not known to
// be of one set, such as a problem of the run, is in each; what was asked of registries is in none
// if there are several sets.
func (r *Report) BySet() map[string]*Report {
	sets := map[string]*Report{}
	for _, m := range r.Results {
		one := sets[m.Set]
		if one == nil {
			one = &Report{Run: r.Run, Summary: r.Summary, Cuts: r.Cuts, Sets: r.setsNamed(m.Set), Selections: r.selectionsOf(m.Set)}
			sets[m.Set] = one
		}
		one.Results = append(one.Results, m)
	}
	for name, one := range sets {
		if one.Run.Set = name; len(sets) == 1 {
			one.Registries = r.Registries
		}
		one.recount()
		one.findCauses(r.lastFailure())
	}
	return sets
}

// recount counts the results again.
func (r *Report) recount() {
	_, total := r.countBySet()
	s := &r.Summary
	s.Mappings, s.Copied, s.Current, s.Held, s.Deferred = total.mappings, total.copied, total.current, total.held, total.deferred
	s.Overdue, s.Failed, s.Bytes = total.overdue, total.failed, total.bytes
	if s.Planned != nil {
		s.Planned = &total.planned
	}
}

// lastFailure returns when the last mapping failed, or the zero time.
func (r *Report) lastFailure() time.Time {
	var last time.Time
	for _, m := range r.withStatus(stream.Failed) {
		if m.Time.After(last) {
			last = m.Time
		}
	}
	return last
}

// setsNamed returns the sets with a name.
func (r *Report) setsNamed(name string) []*Set {
	var some []*Set
	for _, s := range r.Sets {
		if s.Name == name {
			some = append(some, s)
		}
	}
	return some
}
