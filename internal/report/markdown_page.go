package report

import (
	"fmt"
	"strings"

	"imagemirror/internal/text"
)

// A markdownPage is a text in Markdown of a bounded size.
type markdownPage struct{ strings.Builder }

// spare is room for lines such as "and 12 more", in bytes.
const spare = 2_000

// room reports whether there is room for more than such lines.
func (p *markdownPage) room() bool { return p.Len() < maxMarkdown-2*spare }

func (p *markdownPage) line(format string, args ...any) {
	fmt.Fprintf(p, format+"\n", args...)
}

// table writes at most limit of n rows, fewer if the page is full, and how many more there are.
// The name of a column of numbers ends in a colon.
func (p *markdownPage) table(columns []string, n, limit int, cells func(i int) []string) {
	var names, rules []string
	for _, c := range columns {
		name, number := strings.CutSuffix(c, ":")
		rule := ":--"
		if number {
			rule = "--:"
		}
		names, rules = append(names, name), append(rules, rule)
	}
	p.line("%s\n%s", row(names), row(rules))
	i := 0
	for ; i < min(n, limit); i++ {
		line := row(cells(i))
		if p.Len()+len(line) > maxMarkdown-spare {
			break
		}
		p.line("%s", line)
	}
	p.line("")
	p.more(n - i)
}

func (p *markdownPage) more(n int) {
	if n > 0 {
		p.line("and %d more\n", n)
	}
}

func row(cells []string) string { return "| " + strings.Join(cells, " | ") + " |" }

// code returns s as Markdown that shows it as it is: no markup, no link, and no mention that
// notifies a stranger.
func code(s string) string {
	s = strings.Join(strings.Fields(text.Clip(s, shownText)), " ")
	if s == "" {
		return "–"
	}
	// A span ends at the first run of as many backticks as it began with.
	fence := "`"
	for strings.Contains(s, fence) {
		fence += "`"
	}
	if len(fence) > 1 {
		s = " " + s + " "
	}
	return fence + s + fence
}

// cell returns s as code in a table, where a bar would end the cell even within code.
func cell(s string) string { return code(strings.ReplaceAll(s, "|", "¦")) }

// linked returns code that leads to an address, or the code alone if there is none. Characters that
// could end the link are escaped: a template of the address may have any.
func linked(code, address string) string {
	if address == "" {
		return code
	}
	var b strings.Builder
	for i := range len(address) {
		if c := address[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>[]|\"`+"`", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return "[" + code + "](" + b.String() + ")"
}
