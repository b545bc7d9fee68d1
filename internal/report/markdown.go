package report

import (
	"fmt"
	"io"
	"slices"

	"imagemirror/internal/stream"

	"imagemirror/internal/text"
)

// Bounds of the Markdown. GitHub refuses a comment of more than 65536 characters.
const (
	maxMarkdown  = 60_000 // bytes
	listedInPage = 50     // of what was copied
)

// writeMarkdown writes the report as GitHub shows it in a run's summary or a comment.
func (r *Report) writeMarkdown(w io.Writer) error {
	p := &page{}
	p.line("## %s\n", r.headline())
	if r.Summary.Mappings > 0 {
		r.markdownCounts(p)
	}
	r.markdownFailures(p)
	r.markdownLines(p, "No plan", r.Summary.NoPlan)
	r.markdownLines(p, "Cut off", r.Cuts)
	r.markdownLines(p, "Warnings", r.Summary.Warnings)
	r.markdownMoves(p)
	_, err := io.WriteString(w, p.String())
	return err
}

// headline says in a few words how it went.
func (r *Report) headline() string {
	s := r.Summary
	all := count(s.Mappings, "mapping")
	switch err := r.Err(); {
	case err != nil && r.planned() > 0:
		return "Dry run: " + err.Error()
	case err != nil:
		return err.Error()
	case s.Mappings == 0:
		return "Nothing to mirror"
	case r.planned() > 0:
		return fmt.Sprintf("Dry run: %d of %s to copy, %s", r.planned(), all, text.Size(s.Bytes))
	case s.Copied == 0:
		return fmt.Sprintf("Nothing to copy: %s up to date", all)
	}
	return fmt.Sprintf("%d of %s copied, %s", s.Copied, all, text.Size(s.Bytes))
}

func (r *Report) markdownCounts(p *page) {
	moved, sent := "Copied", "Sent"
	if r.dry() {
		moved, sent = "To copy", "To send"
	}
	sets, total := r.tallies()
	rows := sets[:min(listedInPage, len(sets))]
	if len(sets) > 1 {
		rows = append(slices.Clip(rows), total)
	}
	columns := []string{"Set", "Mappings:", moved + ":", "Current:", "Failed:", sent + ":"}
	p.table(columns, len(rows), len(rows), func(i int) []string {
		if rows[i] == total {
			return append([]string{"**total**"}, total.numbers("**%s**")...)
		}
		return append([]string{cell(text.Clip(rows[i].set, shownSet))}, rows[i].numbers("%s")...)
	})
	if n := len(sets) - listedInPage; n > 0 {
		p.line("and %s.\n", count(n, "more set"))
	}
	if d := took(r.Summary.DurationSeconds); d != "" {
		p.line("In %s.\n", d)
	}
}

// numbers is the tally's columns, each in the format.
func (t *tally) numbers(format string) []string {
	var columns []string
	for _, n := range []int{t.mappings, t.copied + t.planned, t.current, t.failed} {
		columns = append(columns, fmt.Sprintf(format, fmt.Sprint(n)))
	}
	return append(columns, fmt.Sprintf(format, text.Size(t.bytes)))
}

func (r *Report) markdownFailures(p *page) {
	failures := r.failures()
	if len(failures) == 0 {
		return
	}
	p.line("### Failed\n")
	told := 0
	for i, f := range failures {
		if !p.room() {
			p.line("And %s more, for %s.\n", count(r.Summary.Failed-told, "mapping"), count(len(failures)-i, "other reason"))
			return
		}
		told += f.count
		p.line("#### %s\n", code(f.String()))
		if f.advice != "" {
			p.line("What to do: %s\n", code(f.advice))
		}
		for n, g := range f.groups {
			if !p.room() {
				p.line("And mappings of %s.\n", count(len(f.groups)-n, "other set"))
				break
			}
			r.markdownGroup(p, g)
		}
	}
}

func (r *Report) markdownGroup(p *page, g *group) {
	p.line("%s\n", g.words(code))
	p.table([]string{"Mapping", "Source", "Destination"}, len(g.results), listedFailures, func(i int) []string {
		m := g.results[i]
		return []string{cell(m.at()), cell(m.Source), cell(m.Destination)}
	})
}

func (r *Report) markdownLines(p *page, heading string, lines []string) {
	if len(lines) == 0 || !p.room() {
		return
	}
	p.line("### %s\n", heading)
	for _, l := range lines[:min(listedFailures, len(lines))] {
		p.line("- %s", code(l))
	}
	p.line("")
	p.more(len(lines) - listedFailures)
}

func (r *Report) markdownMoves(p *page) {
	moves, sent, listed := r.only(stream.Copied), "Sent", listedInPage
	if r.dry() {
		moves, sent = r.only(Planned), "To send"
		listed = len(moves)
	}
	if len(moves) == 0 || !p.room() {
		return
	}
	if r.dry() {
		p.line("### To copy\n")
	} else {
		p.line("<details><summary>%d copied</summary>\n", len(moves))
	}
	p.table([]string{"Destination", "Old", "New", sent + ":"}, len(moves), listed, func(i int) []string {
		m := moves[i]
		old := m.before()
		if m.Old != "" {
			old = cell(old)
		}
		return []string{cell(m.Destination), old, cell(text.ShortDigest(m.Digest)), text.Size(m.Bytes)}
	})
	if !r.dry() {
		p.line("</details>")
	}
}
