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
		at := len(line) - len(rest)
		b.WriteString(line[:at])
		indent := min(at+7, columns/3) / 4 * 4 // the next multiple of 4 that is deeper by 4 at least
		for i, word := range phrases(strings.TrimRight(rest, "\n")) {
			size := utf8.RuneCountInString(strings.TrimRight(word, " "))
			if i > 0 && at+size > columns && size > 0 {
				b.WriteString("\n" + strings.Repeat(" ", indent))
				at = indent
			}
			b.WriteString(word)
			at += utf8.RuneCountInString(word)
		}
		b.WriteString("\n")
	}
	return trimLines(b.String())
}

// phrases splits a line after its blanks, except after words that belong to the next.
func phrases(line string) []string {
	var all []string
	open := false
	for _, word := range strings.SplitAfter(line, " ") {
		if open {
			all[len(all)-1] += word
		} else {
			all = append(all, word)
		}
		switch strings.TrimSpace(word) {
		case "to", "from", "by", "tell", "→":
			open = true
		default:
			open = open && word == " "
		}
	}
	return all
}

// trimLines removes blanks at the ends of lines.
func trimLines(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return b.String()
}
