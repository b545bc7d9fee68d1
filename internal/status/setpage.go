package status

import (
	"cmp"
	"slices"
	"strings"

	"imagemirror/internal/link"
	"imagemirror/internal/record"
)

// destinationColumns are what the destinations of a set can be sorted by.
var destinationColumns = []string{"state", "name", "since", "good"}

// A setBody is what the page of a set shows.
type setBody struct {
	setRow
	Schedule string
	All      []causeRow          // causes
	Selected []*record.Selection // the first few
	Unshown  int                 // selections that are not in Selected
	Chart    spark
	Runs     []runRow
	AllRuns  int
	Rows     []destinationRow
	AnyCause bool // of a row
	Pager    pager
	Choices  []choice
	Headings map[string]heading
}

// selectionsShown bounds the selections that a page shows. Its JSON has all.
const selectionsShown = 20

// A runRow is a run in a table.
type runRow struct {
	Set string
	*record.Run
	Ran State // Good or Failing
}

// A destinationRow is a destination in a table.
type destinationRow struct {
	Set string
	*record.Destination
	State    State
	Page     string // of its registry
	LineURL  string // of its line in the mapping file
	Why      *causeRow
	Latest   []*record.Move // newest first
	With     string         // what came with the image
	Stale    bool           // not good for longer than the set's settings allow
	RunKnown bool           // it is one of the last, so that it has a page
}

func (v view) setPage(s *set, q query) *page {
	b := &setBody{
		setRow: s.row(), Schedule: s.Schedule,
		Chart: sparkOf(s.Runs, min(chartRuns, max(shownRuns, len(s.Runs)))), AllRuns: len(s.Runs),
	}
	p := v.page(setPath(s.Set), q, "set", s.Set, b)
	for _, c := range slices.SortedStableFunc(slices.Values(s.Causes), record.CompareUrgency) {
		b.All = append(b.All, rowOf(c))
	}
	b.Selected = s.Selections[:min(len(s.Selections), selectionsShown)]
	b.Unshown = len(s.Selections) - len(b.Selected)
	b.Runs = s.latest(runsShown)
	chosen, counts := s.choose(q)
	chosen, b.Pager = cut(chosen, q, destinationsShown, func(q query) string { return p.variant(p.Path, q) })
	for _, d := range chosen {
		row := s.destinationRow(d)
		b.Rows, b.AnyCause = append(b.Rows, row), b.AnyCause || row.Why != nil
	}
	b.Choices = p.choices(destinationStates, counts)
	b.Headings = map[string]heading{}
	for column, title := range map[string]string{"state": "State", "name": "Destination", "since": "Digest", "good": "Last good"} {
		b.Headings[column] = p.heading(column, title, destinationColumns)
	}
	return p
}

// choose returns the destinations that the query asks for in its order, and how many are in each
// state.
func (s *set) choose(q query) ([]*record.Destination, map[State]int) {
	var chosen []*record.Destination
	counts := map[State]int{}
	for _, d := range s.Destinations {
		if !q.matches(d.Name, nil) {
			continue
		}
		state := stateOf(d)
		counts[state]++
		if q.State == "" || q.State == state {
			chosen = append(chosen, d)
		}
	}
	slices.SortStableFunc(chosen, func(a, b *record.Destination) int { return compareDestinations(a, b, q.Sort) })
	if q.Desc {
		slices.Reverse(chosen)
	}
	return chosen, counts
}

func compareDestinations(a, b *record.Destination, column string) int {
	switch column {
	case "name":
		return cmp.Compare(a.Name, b.Name)
	case "since":
		return b.Since.Compare(a.Since) // the newest first
	case "good":
		return a.LastGood.Compare(b.LastGood)
	}
	state := func(d *record.Destination) int { return slices.Index(destinationStates, stateOf(d)) }
	return cmp.Or(cmp.Compare(state(a), state(b)), compareLast(a.FailingSince, b.FailingSince), cmp.Compare(a.Name, b.Name))
}

// destinationRow returns a destination of the set as tables show it.
func (s *set) destinationRow(d *record.Destination) destinationRow {
	row := destinationRow{Set: s.Set, Destination: d, State: stateOf(d), Page: link.Image(d.Name), Stale: s.isStale(d), LineURL: webAddress(d.URL)}
	row.RunKnown = slices.ContainsFunc(s.Runs[max(0, len(s.Runs)-shownRuns):], func(r *record.Run) bool { return r.ID == d.Run })
	if row.State == Failing {
		why := causeRow{Title: d.Error}
		if c := s.causeOf(d); c != nil {
			why = rowOf(c)
		}
		row.Why = &why
	}
	var with []string
	for _, kind := range d.Referrers {
		with = append(with, kind.String())
	}
	row.With = strings.Join(with, ", ")
	for i := len(d.Moves) - 1; i >= 0; i-- {
		row.Latest = append(row.Latest, d.Moves[i])
	}
	return row
}

// webAddress returns an address that a record has if a page may lead there, and otherwise "".
func webAddress(address string) string {
	if link.IsWeb(address) {
		return address
	}
	return ""
}

// latest returns the last runs, at most so many, newest first.
func (s *set) latest(most int) []runRow {
	var rows []runRow
	for i := len(s.Runs) - 1; i >= max(0, len(s.Runs)-most); i-- {
		rows = append(rows, s.runRow(s.Runs[i]))
	}
	return rows
}

func (s *set) runRow(run *record.Run) runRow {
	state := Failing
	if run.Verdict == record.Good {
		state = Good
	}
	return runRow{s.Set, run, state}
}
