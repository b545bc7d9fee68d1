package status

import "imagemirror/internal/record"

// A runsBody is what the list of a set's runs shows.
type runsBody struct {
	Set  string
	Runs []runRow
}

func (v view) runsPage(s *set) *page {
	most := record.MaxRuns
	if v.files {
		most = filedRuns
	}
	b := &runsBody{Set: s.Set, Runs: s.latest(most)}
	return v.page(runsPath(s.Set), query{}, "runs", "Runs of "+s.Set, b)
}

// A runBody is what the page of a run shows.
type runBody struct {
	runRow
	Where         string // the address of a page about it, elsewhere
	Before, After *record.Run
	Moves         []moveRow // at most destinationsShown
	MoreMoves     int
	Failures      []destinationRow // that it left, at most destinationsShown
	MoreFailures  int
}

// A moveRow is a tag that a run moved.
type moveRow struct {
	Name, Old, New string // Old is "" if the tag was new, or if the move before is forgotten
}

func (v view) runPage(s *set, before, run, after *record.Run) *page {
	b := &runBody{runRow: s.runRow(run), Where: webAddress(run.URL), Before: before, After: after}
	for _, d := range s.Destinations {
		for i, move := range d.Moves {
			if move.Run != run.ID {
				continue
			}
			row := moveRow{Name: d.Name, New: move.Digest}
			if i > 0 {
				row.Old = d.Moves[i-1].Digest
			}
			b.Moves = append(b.Moves, row)
		}
		if d.Run == run.ID && stateOf(d) == Failing {
			b.Failures = append(b.Failures, s.destinationRow(d))
		}
	}
	b.MoreMoves, b.MoreFailures = max(0, len(b.Moves)-destinationsShown), max(0, len(b.Failures)-destinationsShown)
	b.Moves, b.Failures = b.Moves[:len(b.Moves)-b.MoreMoves], b.Failures[:len(b.Failures)-b.MoreFailures]
	return v.page(runPath(s.Set, run.ID), query{}, "run", "Run "+run.ID, b)
}
