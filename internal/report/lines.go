package report

import (
	"fmt"
	"strings"

	"imagemirror/internal/text"
)

// A mappingLine is a line of a mapping file with those of its destinations that are shown
// together.
type mappingLine struct {
	*Result // the first of them
	results []*Result
	bytes   int64 // of all
}

// listedDestinations bounds the destinations that are named of a line.
const listedDestinations = 5

// groupLines groups results by line and source, which differs for the tags that a wildcard
// matches, by what their destinations have now, and by what comes with the images.
func groupLines(results []*Result) []*mappingLine {
	type place struct {
		file              string
		line              int
		source, old, with string
	}
	var all []*mappingLine
	at := map[place]*mappingLine{}
	for _, m := range results {
		where := place{m.File, m.Line, m.Source, m.oldImage(), m.with()}
		l := at[where]
		if l == nil {
			l = &mappingLine{Result: m}
			at[where] = l
			all = append(all, l)
		}
		l.results = append(l.results, m)
		l.bytes = sum(l.bytes, m.Bytes)
	}
	return all
}

// destinations returns the names of the line's destinations. show escapes a name for the format.
func (l *mappingLine) destinations(show func(*Result, string) string) string {
	var all []string
	for _, m := range l.results[:min(listedDestinations, len(l.results))] {
		all = append(all, show(m, text.Clip(m.Destination, shownName)))
	}
	s := strings.Join(all, ", ")
	if n := len(l.results) - listedDestinations; n > 0 {
		s += fmt.Sprintf(" and %d more", n)
	}
	return s
}

// plain shows a name as it is.
func plain(_ *Result, name string) string { return name }
