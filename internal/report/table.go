package report

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"imagemirror/internal/text"
)

// Bounds on what the table lists.
const (
	shownSets      = 40 // those in which something failed come first
	listedCopies   = 10
	listedWarnings = 10
)

// WriteTable writes the report for people, as plain text, in one call of w. The verdict is the
// first line, and the last: that is where people look.
func (r *Report) WriteTable(w io.Writer) error { return r.WriteTableWithin(w, 0) }

// WriteTableWithin writes the report as WriteTable does, for a terminal that has so many columns,
// or 0 for lines of any length.
func (r *Report) WriteTableWithin(w io.Writer, columns int) error {
	var b bytes.Buffer
	r.tableBody(&b)
	verdict := text.Clip(r.verdict(), shownText)
	whole := verdict + "\n"
	if b.Len() > 0 {
		whole += "\n" + b.String() + "\n" + verdict + "\n"
	}
	if columns >= leastColumns {
		whole = wrap(whole, columns)
	}
	_, err := text.NewCIWriter(w).Write([]byte(whole))
	return err
}

// leastColumns is the width below which lines are left to the terminal.
const leastColumns = 40

// verdict returns the headline, with the extent of what failed.
func (r *Report) verdict() string {
	s := r.Summary
	switch {
	case len(s.NoPlan) > 0:
		return "Nothing was mirrored: there is no plan"
	case s.Mappings == 0 && s.Unknown == 0 && len(s.Problems) == 0:
		return "Nothing to mirror: there is no mapping"
	case s.Failed == 0:
		return r.Headline()
	}
	sets, _ := r.countBySet()
	failing := 0
	for _, c := range sets {
		failing += min(1, c.failed)
	}
	line := r.Headline() + ": " + text.Count(len(r.Causes), "cause")
	if len(sets) > 1 {
		line += fmt.Sprintf(", in %d of %d sets", failing, len(sets))
	}
	if r.planned() > 0 {
		line += fmt.Sprintf("; %d to copy (%s)", r.planned(), r.changes())
	}
	return line
}

func (r *Report) tableBody(b *bytes.Buffer) {
	if len(r.Summary.NoPlan) > 0 {
		fmt.Fprintf(b, "NO PLAN\n  %s\n", strings.Join(r.Summary.NoPlan, "\n  "))
	} else if r.Summary.Mappings > 0 || r.Summary.Unknown > 0 {
		r.tableCounts(b)
		r.tableSelections(b)
		r.tableMoves(b)
		r.tableRewritten(b)
		r.tableWaiting(b)
		r.tableFailures(b)
		r.tableCuts(b)
	}
	tableLines(b, "PROBLEMS", r.Summary.Problems)
	r.tableWarnings(b)
}

// tableLines writes lines below a heading, if there are any.
func tableLines(b *bytes.Buffer, heading string, lines []string) {
	if len(lines) == 0 {
		return
	}
	startPart(b)
	fmt.Fprintf(b, "%s\n  %s\n", heading, strings.Join(lines, "\n  "))
}

// startPart begins another part of the table.
func startPart(b *bytes.Buffer) {
	if b.Len() > 0 {
		fmt.Fprintln(b)
	}
}

func tableWriter(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) }

// tableCounts writes a line for each set, and one for all.
func (r *Report) tableCounts(w io.Writer) {
	out := tableWriter(w)
	defer out.Flush()
	moved, sent := "COPIED", "SENT"
	if r.dryRun() {
		moved, sent = "TO COPY", "TO SEND"
	}
	sets, total := r.countBySet()
	names, numbers := total.waiting()
	for i, name := range names {
		names[i] = fmt.Sprintf("%*s\t", waitingWidth, strings.ToUpper(name))
	}
	fmt.Fprintf(out, "SET\tMAPPINGS\t%7s\tCURRENT\t%sFAILED\t%10s\n", moved, strings.Join(names, ""), sent)
	if more := len(sets) - shownSets; more > 1 {
		sets = append(sets[:shownSets], sumOf(sets[shownSets:], fmt.Sprintf("(%d more sets)", more)))
	}
	if len(sets) != 1 {
		sets = append(sets, total)
	}
	for i, c := range sets {
		fmt.Fprintf(out, "%s\t%8d\t%7d\t%7d\t", text.Clip(c.set, shownSet), c.mappings, c.copied+c.planned, c.current)
		for _, n := range numbers(c) {
			fmt.Fprintf(out, "%*d\t", waitingWidth, n)
		}
		fmt.Fprintf(out, "%6d\t%10s", c.failed, text.Size(c.bytes))
		if d := formatSeconds(r.Summary.DurationSeconds); d != "" && i == len(sets)-1 {
			fmt.Fprintf(out, "  in %s", d)
		}
		fmt.Fprintln(out)
	}
}

// tableMoves lists the largest of the images that were copied or, in a dry run, all that would be,
// with their sources and the lines that name them.
func (r *Report) tableMoves(b *bytes.Buffer) {
	moves, heading, sent := groupLines(r.moves()), "COPIED", "SENT"
	if r.dryRun() {
		moves, heading, sent = groupLines(r.withStatus(Planned)), "TO COPY, this is a dry run", "TO SEND"
	} else if n := len(moves); n > listedCopies {
		heading = fmt.Sprintf("COPIED, the %d largest of %d", listedCopies, n)
		slices.SortStableFunc(moves, func(a, b *mappingLine) int { return cmp.Compare(b.bytes, a.bytes) })
		moves = moves[:listedCopies]
	}
	if len(moves) == 0 {
		return
	}
	startPart(b)
	fmt.Fprintln(b, heading)
	fmt.Fprintf(b, "%10s  %-18s    %-12s  DESTINATION\n", sent, "TAG", "IMAGE")
	for _, m := range moves {
		fmt.Fprintf(b, "%10s  %-18s  → %-12s  %s", text.Size(m.bytes), m.oldImage(), text.ShortDigest(m.Digest), m.destinations(plain))
		if with := m.with(); with != "" {
			fmt.Fprintf(b, "  %s", text.Clip(with, shownName))
		}
		fmt.Fprintln(b)
		if r.dryRun() {
			fmt.Fprintf(b, "            %s  from %s\n", text.Clip(m.position(), shownName), m.shownSource())
		}
	}
}

// tableFailures lists each cause once, with the mappings that failed for it.
func (r *Report) tableFailures(w *bytes.Buffer) {
	if r.Summary.Failed == 0 {
		return
	}
	startPart(w)
	fmt.Fprintln(w, "FAILED")
	for i, c := range r.Causes {
		if i > 0 {
			fmt.Fprintln(w)
		}
		asIs := func(name string) string { return name }
		fmt.Fprintf(w, "  %s\n    %s\n    %s\n", c.Title, c.extent(asIs), strings.Join(c.reasons(), "\n    "))
		if c.Advice != "" {
			fmt.Fprintf(w, "    What to do: %s\n", c.Advice)
		}
		for _, s := range c.Sets[:min(listedSets, len(c.Sets))] {
			if len(c.Sets) > 1 {
				fmt.Fprintf(w, "    %s\n", s.heading(asIs))
			}
			c.tableLines(w, s)
		}
		if n := len(c.Sets) - listedSets; n > 0 {
			fmt.Fprintf(w, "    and %s\n", text.Count(n, "more set"))
		}
	}
}

// tableLines lists the lines of a set that failed for the cause.
func (c *Cause) tableLines(w io.Writer, s *CauseSet) {
	lines := c.lines(s.Set)
	out := tableWriter(w)
	for _, l := range lines[:min(c.share(), len(lines))] {
		fmt.Fprintf(out, "      %s\t%s\n", text.Clip(l.position(), shownName), l.aim())
		if c.speaks() {
			fmt.Fprintf(out, "        %s\n", text.Clip(l.Error, shownText))
		}
	}
	out.Flush()
	if n := len(lines) - c.share(); n > 0 {
		fmt.Fprintf(w, "      and %d more\n", n)
	}
}

// tableWarnings lists the first warnings.
func (r *Report) tableWarnings(b *bytes.Buffer) {
	all := r.Summary.Warnings
	var lines []string
	for _, l := range all[:min(listedWarnings, len(all))] {
		lines = append(lines, text.Clip(l, shownText))
	}
	if n := len(all) - listedWarnings; n > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", n))
	}
	tableLines(b, "WARNINGS", lines)
}

func (r *Report) tableCuts(b *bytes.Buffer) { tableLines(b, "CUT OFF", r.Cuts) }
