// Package status shows the records of image sets to people and programs: pages, JSON and badges,
// served or as files. All of one moment is made from a Snapshot. Pages need no script, and all
// that they show is escaped for the place that it is shown in.
package status

import (
	"cmp"
	"slices"
	"time"

	"imagemirror/internal/record"
)

// A State is what a set or a destination is in.
type State string

// The states. A set that fails and is overdue is failing.
const (
	Failing State = "failing" // a destination fails, or the last run was not good
	Overdue State = "overdue" // the schedule has run on without a run; sets only
	Held    State = "held"    // of a destination: a rollback keeps it at an earlier image
	Waiting State = "waiting" // nothing has happened yet
	Good    State = "good"
	Gone    State = "gone" // no mapping names it any more; destinations only
)

// setStates and destinationStates have what people can filter by, the most urgent first.
var (
	setStates         = []State{Failing, Overdue, Waiting, Good}
	destinationStates = []State{Failing, Held, Waiting, Good, Gone}
)

// A Snapshot is what is known about all sets at one moment. It is not changed once it is made.
type Snapshot struct {
	Taken time.Time

	look   Look
	sets   []*set   // by name
	causes []*cause // those that hit most destinations first
}

// NewSnapshot returns what a look at all sets says at a moment. It keeps the records.
func NewSnapshot(look Look, now time.Time) *Snapshot {
	s := &Snapshot{Taken: now, look: look}
	byName := map[string]*set{}
	for _, r := range look.Records {
		byName[r.Set] = newSet(r)
	}
	for _, a := range look.Active {
		if byName[a.Set] == nil {
			byName[a.Set] = newSet(&record.Record{Set: a.Set})
		}
		byName[a.Set].active = append(byName[a.Set].active, a)
	}
	for _, set := range byName {
		set.judge(now)
		s.sets = append(s.sets, set)
	}
	slices.SortFunc(s.sets, func(a, b *set) int { return cmp.Compare(a.Set, b.Set) })
	s.causes = mergeCauses(s.sets)
	return s
}

// set returns the set with an id, or nil. Messages and READMEs, which lead here, know its name
// only, so that does as well.
func (s *Snapshot) set(id string) *set {
	i := slices.IndexFunc(s.sets, func(set *set) bool { return set.id == id })
	if i < 0 {
		i = slices.IndexFunc(s.sets, func(set *set) bool { return set.Set == id })
	}
	if i < 0 {
		return nil
	}
	return s.sets[i]
}

// cause returns the cause with an id, or nil.
func (s *Snapshot) cause(id string) *cause {
	for _, c := range s.causes {
		if c.id == id {
			return c
		}
	}
	return nil
}

// counts returns how many sets and how many destinations are in each state.
func (s *Snapshot) counts() (sets, destinations map[State]int) {
	sets, destinations = map[State]int{}, map[State]int{}
	for _, set := range s.sets {
		sets[set.state]++
		for state, n := range set.counts {
			destinations[state] += n
		}
	}
	return sets, destinations
}

// owners returns everybody who owns a set, each once.
func (s *Snapshot) owners() []string {
	var all []string
	for _, set := range s.sets {
		all = append(all, set.Owners...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
