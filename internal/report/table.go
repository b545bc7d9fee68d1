package report

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"imagemirror/internal/stream"
	"imagemirror/internal/text"
)

// Bounds on what the table lists.
const (
	listedCopies   = 10
	listedWarnings = 10
)

// WriteTable writes the report for people, as plain text, in one call of w.
func (r *Report) WriteTable(w io.Writer) error {
	var b bytes.Buffer
	if len(r.Summary.NoPlan) > 0 {
		fmt.Fprintf(&b, "Nothing was mirrored: there is no plan.\n  %s\n", strings.Join(r.Summary.NoPlan, "\n  "))
	} else if r.Summary.Mappings == 0 && r.Summary.Unknown == 0 {
		fmt.Fprintln(&b, "Nothing to mirror: there is no mapping.")
	} else {
		r.tableCounts(&b)
		r.tableMoves(&b)
		r.tableFailures(&b)
		r.tableCuts(&b)
	}
	if len(r.Summary.Problems) > 0 {
		fmt.Fprintf(&b, "\nPROBLEMS\n  %s\n", strings.Join(r.Summary.Problems, "\n  "))
	}
	r.tableWarnings(&b)
	_, err := text.NewCIWriter(w).Write(b.Bytes())
	return err
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
	fmt.Fprintf(out, "SET\tMAPPINGS\t%7s\tCURRENT\tFAILED\t%10s\n", moved, sent)
	sets, total := r.countBySet()
	if len(sets) != 1 {
		sets = append(sets, total)
	}
	for i, c := range sets {
		fmt.Fprintf(out, "%s\t%8d\t%7d\t%7d\t%6d\t%10s", text.Clip(c.set, shownSet), c.mappings, c.copied+c.planned, c.current, c.failed, text.Size(c.bytes))
		if d := formatSeconds(r.Summary.DurationSeconds); d != "" && i == len(sets)-1 {
			fmt.Fprintf(out, "  in %s", d)
		}
		fmt.Fprintln(out)
	}
}

// tableMoves lists the largest of the images that were copied or, in a dry run, all that would be.
func (r *Report) tableMoves(w io.Writer) {
	moves, heading, sent := r.withStatus(stream.Copied), "COPIED", "SENT"
	if r.dryRun() {
		moves, heading, sent = r.withStatus(Planned), "TO COPY, this is a dry run", "TO SEND"
	} else if n := len(moves); n > listedCopies {
		heading = fmt.Sprintf("COPIED, the %d largest of %d", listedCopies, n)
		slices.SortStableFunc(moves, func(a, b *Result) int { return cmp.Compare(b.Bytes, a.Bytes) })
		moves = moves[:listedCopies]
	}
	if len(moves) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", heading)
	out := tableWriter(w)
	fmt.Fprintf(out, "%10s\tOLD\t  NEW\tDESTINATION\n", sent)
	for _, m := range moves {
		fmt.Fprintf(out, "%10s\t%s\t→ %s\t%s", text.Size(m.Bytes), m.oldImage(), text.ShortDigest(m.Digest), text.Clip(m.Destination, shownName))
		if with := m.with(); with != "" {
			fmt.Fprintf(out, "  %s", text.Clip(with, shownName))
		}
		fmt.Fprintln(out)
	}
	out.Flush()
}

// tableFailures lists each cause once, with the mappings that failed for it.
func (r *Report) tableFailures(w io.Writer) {
	if r.Summary.Failed == 0 {
		return
	}
	fmt.Fprintf(w, "\nFAILED\n")
	for i, c := range r.Causes {
		if i > 0 {
			fmt.Fprintln(w)
		}
		plain := func(name string) string { return name }
		fmt.Fprintf(w, "  %s\n    %s\n    %s\n", c.Title, c.extent(plain), strings.Join(c.reasons(), "\n    "))
		if c.Advice != "" {
			fmt.Fprintf(w, "    What to do: %s\n", c.Advice)
		}
		for _, s := range c.Sets[:min(listedSets, len(c.Sets))] {
			if len(c.Sets) > 1 {
				fmt.Fprintf(w, "    %s\n", s.heading(plain))
			}
			c.tableLines(w, s)
		}
		if n := len(c.Sets) - listedSets; n > 0 {
			fmt.Fprintf(w, "    and %s\n", count(n, "more set"))
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
func (r *Report) tableWarnings(w io.Writer) {
	all := r.Summary.Warnings
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(w, "\nWARNINGS\n")
	for _, l := range all[:min(listedWarnings, len(all))] {
		fmt.Fprintf(w, "  %s\n", text.Clip(l, shownText))
	}
	if n := len(all) - listedWarnings; n > 0 {
		fmt.Fprintf(w, "  and %d more\n", n)
	}
}

func (r *Report) tableCuts(w io.Writer) {
	if len(r.Cuts) == 0 {
		return
	}
	fmt.Fprintf(w, "\nCUT OFF\n  %s\n", strings.Join(r.Cuts, "\n  "))
}
