package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"imagemirror/internal/link"
	"imagemirror/internal/stream"
	"imagemirror/internal/text"
)

// Bounds of the Markdown. GitHub refuses a comment of more than 65536 characters.
const (
	maxMarkdown   = 60_000 // bytes
	listedInPage  = 50     // of what was copied
	listedReasons = 10     // for which the run is not good
)

// WriteMarkdown writes the report as GitHub shows it in a run's summary or a comment.
func (r *Report) WriteMarkdown(w io.Writer) error {
	p := &markdownPage{}
	headline := r.verdict()
	if len(r.Summary.NoPlan) > 0 {
		headline = "Nothing was mirrored" // the reasons follow, as code: they quote names from outside
	} else if r.Summary.Failed == 0 && r.Summary.Unknown == 0 && len(r.Summary.Problems) > 0 {
		headline = "The results cannot be relied on"
	}
	p.line("## %s\n", headline)
	r.markdownRun(p)
	if r.Summary.Mappings > 0 {
		r.markdownCounts(p)
	}
	r.markdownFailures(p)
	r.markdownLines(p, "No plan", r.Summary.NoPlan)
	r.markdownLines(p, "Problems", r.Summary.Problems)
	r.markdownLines(p, "Cut off", r.Cuts)
	r.markdownLines(p, "Warnings", r.Summary.Warnings)
	r.markdownRewritten(p)
	r.markdownWaiting(p)
	r.markdownSelections(p)
	r.markdownMoves(p)
	_, err := io.WriteString(w, p.String())
	return err
}

// markdownRun names the run.
func (r *Report) markdownRun(p *markdownPage) {
	if r.Run.ID == "" {
		return
	}
	line := fmt.Sprintf("Run %s, started by %s", linked(code(r.Run.ID), r.Run.URL), startedBy[r.Run.Trigger])
	if !r.Run.Start.IsZero() {
		line += r.Run.Start.Format(", 2006-01-02 15:04 UTC")
	}
	if d := formatSeconds(r.Summary.DurationSeconds); d != "" {
		line += ", took " + d
	}
	p.line("%s.\n", line)
}

// startedBy tells people of a trigger.
var startedBy = map[string]string{"cron": "schedule", "event": "an event", "manual": "hand"}

func (r *Report) markdownCounts(p *markdownPage) {
	moved, sent := "Copied", "Sent"
	if r.dryRun() {
		moved, sent = "To copy", "To send"
	}
	sets, total := r.countBySet()
	rows := sets[:min(listedInPage, len(sets))]
	if len(sets) > 1 {
		rows = append(slices.Clip(rows), total)
	}
	waiting, waitingOf := total.waiting()
	columns := []string{"Set", "Mappings:", moved + ":", "Current:"}
	for _, name := range waiting {
		columns = append(columns, name+":")
	}
	columns = append(columns, "Failed:", sent+":")
	p.table(columns, len(rows), len(rows), func(i int) []string {
		if rows[i] == total {
			return append([]string{"**total**"}, total.numbers("**%s**", waitingOf)...)
		}
		return append([]string{cell(text.Clip(rows[i].set, shownSet))}, rows[i].numbers("%s", waitingOf)...)
	})
	if n := len(sets) - listedInPage; n > 0 {
		p.line("and %s.\n", text.Count(n, "more set"))
	}
	if d := formatSeconds(r.Summary.DurationSeconds); d != "" && r.Run.ID == "" {
		p.line("In %s.\n", d)
	}
}

// numbers returns the counts as columns, each in the format.
func (c *setCounts) numbers(format string, waiting func(*setCounts) []int) []string {
	var columns []string
	for _, n := range slices.Concat([]int{c.mappings, c.copied + c.planned, c.current}, waiting(c), []int{c.failed}) {
		columns = append(columns, fmt.Sprintf(format, fmt.Sprint(n)))
	}
	return append(columns, fmt.Sprintf(format, text.Size(c.bytes)))
}

func (r *Report) markdownFailures(p *markdownPage) {
	if r.Summary.Failed == 0 {
		return
	}
	p.line("### Failed\n")
	told := 0
	for i, c := range r.Causes {
		if !p.room() {
			p.line("And %s more, for %s.\n", text.Count(r.Summary.Failed-told, "mapping"), text.Count(len(r.Causes)-i, "other cause"))
			return
		}
		told += c.Mappings
		p.line("#### %s\n", c.Kind.Title(code(cmp.Or(c.Host, "a registry"))))
		p.line("%s\n", c.extent(code))
		for _, reason := range c.reasons() {
			p.line("%s\n", code(reason))
		}
		if c.Advice != "" {
			p.line("**What to do:** %s\n", code(c.Advice))
		}
		for n, s := range c.Sets {
			if !p.room() {
				p.line("And mappings of %s.\n", text.Count(len(c.Sets)-n, "other set"))
				break
			}
			c.markdownSet(p, s)
		}
	}
}

func (c *Cause) markdownSet(p *markdownPage, s *CauseSet) {
	if len(c.Sets) > 1 {
		p.line("%s\n", s.heading(code))
	}
	lines := c.lines(s.Set)
	p.table([]string{"Mapping", "Source", "Destination"}, len(lines), c.share(), func(i int) []string {
		l := lines[i]
		row := []string{linked(cell(l.position()), l.URL), linkedSource(l.Result), l.destinations(linkedImage)}
		if c.speaks() {
			row[0] += "<br>" + cell(l.Error)
		}
		return row
	})
}

func (r *Report) markdownLines(p *markdownPage, heading string, lines []string) {
	if len(lines) == 0 || !p.room() {
		return
	}
	p.line("### %s\n", heading)
	for _, l := range lines[:min(listedReasons, len(lines))] {
		p.line("- %s", code(l))
	}
	p.line("")
	p.more(len(lines) - listedReasons)
}

func (r *Report) markdownMoves(p *markdownPage) {
	copied := len(r.withStatus(stream.Copied))
	moves, sent, listed := groupLines(r.moves()), "Sent", listedInPage
	if r.dryRun() {
		moves, sent = groupLines(r.withStatus(Planned)), "To send"
		listed = len(moves)
	}
	if len(moves) == 0 || !p.room() {
		return
	}
	columns := []string{"Destination", "Tag", "Image", sent + ":"}
	if r.dryRun() {
		p.line("### To copy\n")
		columns = append(columns, "Mapping")
	} else {
		p.line("<details><summary>%d copied%s</summary>\n", copied, withReferrers(len(r.later())))
	}
	p.table(columns, len(moves), listed, func(i int) []string {
		m := moves[i]
		tag := m.oldImage()
		if m.Old != "" && !m.stays() {
			tag = "moved " + cell(text.ShortDigest(m.Old))
		}
		row := []string{m.destinations(linkedImage), tag, cell(text.ShortDigest(m.Digest)), strings.ReplaceAll(text.Size(m.bytes), " ", "&nbsp;")}
		if with := m.with(); with != "" {
			row[0] += "<br>" + cell(with)
		}
		if r.dryRun() {
			row = append(row, linked(cell(m.position()), m.URL)+"<br>from "+linkedSource(m.Result))
		}
		return row
	})
	if !r.dryRun() {
		p.line("</details>")
	}
}

// linkedSource returns the name of the source, which leads to its page at the registry.
func linkedSource(m *Result) string { return linked(cell(m.shownSource()), link.Image(m.Source)) }

// linkedImage returns the name of a destination, which leads to its page at the registry.
func linkedImage(m *Result, name string) string { return linked(cell(name), link.Image(m.Destination)) }
