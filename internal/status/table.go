package status

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"imagemirror/internal/text"
)

// WriteTable writes the sets as a table for a terminal or the log of a CI system, the most urgent
// first.
func WriteTable(w io.Writer, s *Snapshot) error {
	var b strings.Builder
	out := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	fmt.Fprintln(out, "STATE\tSET\tDESTINATIONS\tLAST GOOD\tNEXT RUN\tWHY")
	chosen, _ := view{Snapshot: s}.choose(query{})
	for _, set := range chosen {
		row := set.row()
		cells := []string{
			string(row.State), cmp.Or(text.Line(row.Name, maxName), "unnamed"), row.destinations(),
			s.ago(row.LastGood, "never"), row.next(s), row.why(s),
		}
		fmt.Fprintln(out, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
	}
	if err := out.Flush(); err != nil {
		return err
	}
	sets, _ := s.counts()
	fmt.Fprintln(&b, headline(sets, len(s.sets), len(s.look.Problems) > 0))
	for _, problem := range s.look.Problems {
		fmt.Fprintln(&b, line(problem))
	}
	_, err := io.WriteString(w, text.CI(b.String()))
	return err
}

// ago tells how far a time is from the moment of the snapshot.
func (s *Snapshot) ago(t time.Time, never string) string {
	if t.IsZero() {
		return never
	}
	return distance(t.Sub(s.Taken))
}

func (r *setRow) destinations() string {
	if r.Bad == 0 {
		return withCommas(r.Total)
	}
	return withCommas(r.Bad) + " of " + withCommas(r.Total) + " failing"
}

func (r *setRow) next(s *Snapshot) string {
	if len(r.Active) > 0 {
		return "running"
	}
	return s.ago(r.Next, "not scheduled")
}

// why tells in one line why the set is in its state.
func (r *setRow) why(s *Snapshot) string {
	var all []string
	for _, c := range r.Causes {
		why := text.Line(c.Kind, maxName)
		if c.Count > 0 {
			why = withCommas(c.Count) + " × " + why
		}
		if c.Host != "" {
			why += " at " + text.Line(c.Host, maxName)
		}
		all = append(all, why)
	}
	switch {
	case r.MoreCauses > 0:
		all = append(all, fmt.Sprintf("%d more", r.MoreCauses))
	case len(all) == 0 && r.Reason != "":
		all = append(all, r.Reason)
	case len(all) == 0 && r.State == Overdue:
		all = append(all, "a run was due "+s.ago(r.Since, ""))
	}
	if r.Held > 0 {
		all = append(all, withCommas(r.Held)+" held")
	}
	return line(strings.Join(all, ", "))
}
