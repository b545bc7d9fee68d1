package report

import (
	"bytes"
	"fmt"
	"strings"

	"imagemirror/internal/stream"
	"imagemirror/internal/text"
)

// waitingWidth is the width of a column that counts mappings which wait.
const waitingWidth = 8

// waitingStatuses are those of mappings that wait for somebody or something, with their names.
var waitingStatuses = []struct {
	status, name string
	count        func(*setCounts) int
}{
	{stream.Held, "Held", func(c *setCounts) int { return c.held }},
	{stream.Deferred, "Deferred", func(c *setCounts) int { return c.deferred }},
}

// waiting returns the names of the columns that count what waits, and a function that returns the
// numbers of a set. If nothing waits, there are no columns.
func (c *setCounts) waiting() (names []string, numbers func(*setCounts) []int) {
	var counts []func(*setCounts) int
	for _, w := range waitingStatuses {
		if w.count(c) > 0 {
			names, counts = append(names, w.name), append(counts, w.count)
		}
	}
	return names, func(c *setCounts) []int {
		var all []int
		for _, count := range counts {
			all = append(all, count(c))
		}
		return all
	}
}

// tableWaiting lists the destinations that are held and deferred, and why.
func (r *Report) tableWaiting(b *bytes.Buffer) {
	for _, w := range waitingStatuses {
		var lines []string
		all := r.withStatus(w.status)
		for _, m := range all[:min(len(all), listedWarnings)] {
			lines = append(lines, fmt.Sprintf("%s  %s", text.Clip(m.position(), shownName), text.Clip(m.Destination, shownName)), "  "+text.Clip(m.Note, shownText))
		}
		if n := len(all) - listedWarnings; n > 0 {
			lines = append(lines, fmt.Sprintf("and %d more", n))
		}
		tableLines(b, strings.ToUpper(w.name), lines)
	}
}

// markdownWaiting lists the same as a table of Markdown.
func (r *Report) markdownWaiting(p *markdownPage) {
	for _, w := range waitingStatuses {
		all := r.withStatus(w.status)
		if len(all) == 0 || !p.room() {
			continue
		}
		p.line("### %s\n", w.name)
		p.table([]string{"Mapping", "Destination", "Why"}, len(all), listedInPage, func(i int) []string {
			return []string{linked(cell(all[i].position()), all[i].URL), linkedImage(all[i], all[i].Destination), cell(all[i].Note)}
		})
	}
}
