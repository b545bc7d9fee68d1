package status

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"imagemirror/internal/record"
	"imagemirror/internal/text"
)

// Rows of a table before it is cut into parts.
const (
	setsShown         = 250
	causesShown       = 5 // on the overview; their own page has all
	destinationsShown = 100
	runsShown         = 5   // on a set's page
	chartRuns         = 120 // in its drawing
)

// setColumns are what the overview can be sorted by.
var setColumns = []string{"state", "name", "good", "next"}

// An overviewBody is what the overview shows.
type overviewBody struct {
	Good       bool // no set fails or is overdue
	Headline   string
	GoodSets   int
	AllSets    int
	GoodTags   int // destinations
	AllTags    int
	Bytes      int64 // sent in the last day
	Next       time.Time
	Causes     []causeRow
	MoreCauses int
	Rows       []setRow
	Pager      pager
	Choices    []choice
	Headings   map[string]heading
	Owners     []string
}

// A setRow is a set in a table.
type setRow struct {
	Name, Reason string
	State        State
	Since        time.Time
	Total, Bad   int // destinations
	GoodTags     int
	Stale, Held  int
	LastGood     time.Time
	Next         time.Time
	Active       []Active
	Spark        spark
	Causes       []causeRow
	MoreCauses   int
	Owners       []string
}

func (v view) overview(q query) *page {
	b := &overviewBody{AllSets: len(v.sets)}
	p := v.page(overviewPath, q, "overview", "Image sets", b)
	sets, destinations := v.counts()
	b.GoodSets, b.GoodTags = sets[Good], destinations[Good]
	for _, s := range v.sets {
		b.AllTags += s.total()
		b.Bytes += s.sentSince(v.Taken.Add(-24 * time.Hour))
		if !s.next.IsZero() && (b.Next.IsZero() || s.next.Before(b.Next)) {
			b.Next = s.next
		}
	}
	b.Good, b.Headline = sets[Failing]+sets[Overdue] == 0, headline(sets, b.AllSets, len(v.look.Problems) > 0)
	b.MoreCauses = max(0, len(v.causes)-causesShown)
	for _, c := range v.causes[:len(v.causes)-b.MoreCauses] {
		b.Causes = append(b.Causes, c.row())
	}
	chosen, counts := v.choose(q)
	chosen, b.Pager = cut(chosen, q, setsShown, func(q query) string { return p.variant(overviewPath, q) })
	for _, s := range chosen {
		b.Rows = append(b.Rows, s.row())
	}
	b.Choices = p.choices(setStates, counts)
	b.Owners = v.owners()
	b.Headings = map[string]heading{}
	for column, title := range map[string]string{"state": "State", "name": "Set", "good": "Last good", "next": "Next run"} {
		b.Headings[column] = p.heading(column, title, setColumns)
	}
	return p
}

// headline tells how all sets are. unread tells that there may be more sets, which could not be
// read.
func headline(sets map[State]int, all int, unread bool) string {
	switch failing, overdue := sets[Failing], sets[Overdue]; {
	case all == 0 && unread:
		return "No image set could be read"
	case all == 0:
		return "No image sets yet"
	case failing > 0 && overdue > 0:
		return fmt.Sprintf("%d of %s failing, %d overdue", failing, text.Count(all, "set"), overdue)
	case failing > 0:
		return fmt.Sprintf("%d of %s failing", failing, text.Count(all, "set"))
	case overdue > 0:
		return fmt.Sprintf("%d of %s overdue", overdue, text.Count(all, "set"))
	case sets[Waiting] > 0:
		return fmt.Sprintf("%d of %s waiting for a first run", sets[Waiting], text.Count(all, "set"))
	case unread:
		return text.Count(all, "set") + " good, and not all could be read"
	case all == 1:
		return "The image set is good"
	}
	return fmt.Sprintf("All %d sets are good", all)
}

// choose returns the sets that the query asks for in its order, and how many are in each state.
func (v view) choose(q query) ([]*set, map[State]int) {
	var chosen []*set
	counts := map[State]int{}
	for _, s := range v.sets {
		if !q.matches(s.Set, s.Owners) {
			continue
		}
		counts[s.state]++
		if q.State == "" || q.State == s.state {
			chosen = append(chosen, s)
		}
	}
	slices.SortStableFunc(chosen, func(a, b *set) int { return compareSets(a, b, q.Sort) })
	if q.Desc {
		slices.Reverse(chosen)
	}
	return chosen, counts
}

// compareSets orders sets by a column. By state, the most urgent comes first, and of those the one
// that has been so for longest.
func compareSets(a, b *set, column string) int {
	switch column {
	case "name":
		return cmp.Compare(a.Set, b.Set)
	case "good":
		return a.lastGood().Compare(b.lastGood())
	case "next":
		return compareLast(a.next, b.next)
	}
	return cmp.Or(cmp.Compare(slices.Index(setStates, a.state), slices.Index(setStates, b.state)), compareLast(a.since, b.since))
}

// compareLast compares times; zero comes after all others.
func compareLast(a, b time.Time) int {
	if a.IsZero() || b.IsZero() {
		return -a.Compare(b)
	}
	return a.Compare(b)
}

// sentSince returns the bytes that runs have sent since a time.
func (s *set) sentSince(t time.Time) (bytes int64) {
	for _, run := range s.Runs {
		if run.End.After(t) {
			bytes += run.Bytes
		}
	}
	return bytes
}

func (s *set) row() setRow {
	const causes = 2
	row := setRow{
		Name: s.Set, State: s.state, Since: s.since, Total: s.total(), Bad: s.counts[Failing], GoodTags: s.counts[Good], Stale: s.stale, Held: s.counts[Held],
		LastGood: s.lastGood(), Next: s.next, Active: s.active, Spark: sparkOf(s.Runs, shownRuns), Owners: s.Owners,
		Reason: s.reason(), MoreCauses: max(0, len(s.Causes)-causes),
	}
	worst := slices.SortedStableFunc(slices.Values(s.Causes), record.CompareUrgency)
	for _, c := range worst[:len(worst)-row.MoreCauses] {
		row.Causes = append(row.Causes, rowOf(c))
	}
	return row
}

// reason returns why the last run was not good, or "".
func (s *set) reason() string {
	if last := s.LastRun(); last != nil && last.Verdict != record.Good {
		return cmp.Or(last.Reason, "the last run was not good")
	}
	return ""
}
