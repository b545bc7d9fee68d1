package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"imagemirror/internal/stream"
)

// listedPeople is how many owners of a set are named, and how many to tell.
const listedPeople = 10

// failure is a cause and the mappings that failed for it.
type failure struct {
	cause
	groups []*group
	count  int
}

// group is the mappings of one image set.
type group struct {
	set     string
	people  people
	results []*Result
}

// failures is what failed: the cause that struck most mappings first, otherwise in the order of the results.
func (r *Report) failures() []*failure {
	type place struct {
		cause
		set, owners, notify string
	}
	var all []*failure
	causes, places := map[cause]*failure{}, map[place]*group{}
	for _, m := range r.only(stream.Failed) {
		f := causes[m.cause()]
		if f == nil {
			f = &failure{cause: m.cause()}
			causes[f.cause] = f
			all = append(all, f)
		}
		f.count++
		at := place{f.cause, m.Set, strings.Join(m.Owners, "\n"), strings.Join(m.Notify, "\n")}
		g := places[at]
		if g == nil {
			g = &group{set: m.Set, people: people{m.Owners, m.Notify}}
			places[at] = g
			f.groups = append(f.groups, g)
		}
		g.results = append(g.results, m)
	}
	slices.SortStableFunc(all, func(a, b *failure) int { return cmp.Compare(b.count, a.count) })
	return all
}

// words is how many mappings of which set failed, whose it is, and whom to tell. Names are shown as show makes them.
func (g *group) words(show func(string) string) string {
	s := count(len(g.results), "mapping")
	if g.set != "" {
		s += " of " + show(g.set)
	}
	if owners := some(g.people.owners, show); owners != "" {
		s += ", owned by " + owners
	}
	if notify := some(g.people.notify, show); notify != "" {
		s += "; tell " + notify
	}
	return s
}

// some are the first of names, and how many there are more.
func some(names []string, show func(string) string) string {
	var list []string
	for _, name := range names[:min(listedPeople, len(names))] {
		list = append(list, show(name))
	}
	if n := len(names) - listedPeople; n > 0 {
		list = append(list, fmt.Sprintf("%d more", n))
	}
	return strings.Join(list, ", ")
}

func plain(s string) string { return s }

// culprit is the image that the error is about.
func (r *Result) culprit() string {
	if r.Side == "source" {
		return "from " + r.Source
	}
	return "to " + r.Destination
}
