package report

import (
	"strings"
	"unicode/utf8"
)

// wrap breaks lines that are longer than columns at blanks, so that a terminal does not break them
// within names. What continues a line is indented further than the line. Names stay whole, so that
// they can be copied, however long they are.
func wrap(text string, columns int) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		rest := strings.TrimLeft(line, " ")
		indent := strings.Repeat(" ", min(len(line)-len(rest), columns/4))
		b.WriteString(line[:len(line)-len(rest)])
		at := len(line) - len(rest)
		for i, word := range strings.SplitAfter(strings.TrimRight(rest, "\n"), " ") {
			size := utf8.RuneCountInString(strings.TrimRight(word, " "))
			if i > 0 && at+size > columns && size > 0 {
				b.WriteString("\n" + indent + "    ")
				at = len(indent) + 4
			}
			b.WriteString(word)
			at += utf8.RuneCountInString(word)
		}
		b.WriteString("\n")
	}
	return trimLines(b.String())
}

// trimLines removes blanks at the ends of lines.
func trimLines(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return b.String()
}
