package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"imagemirror/internal/stream"
)

// listedOwners is how many owners of a set are named.
const listedOwners = 10

// failure is a cause and the mappings that failed for it.
type failure struct {
	cause
	groups []*group
	count  int
}

// group is the mappings of one image set.
type group struct {
	set     string
	owners  []string
	results []*Result
}

// failures is what failed: the cause that struck most mappings first, otherwise in the order of the results.
func (r *Report) failures() []*failure {
	type place struct {
		cause
		set, owners string
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
		at := place{f.cause, m.Set, strings.Join(m.Owners, "\n")}
		g := places[at]
		if g == nil {
			g = &group{set: m.Set, owners: m.Owners}
			places[at] = g
			f.groups = append(f.groups, g)
		}
		g.results = append(g.results, m)
	}
	slices.SortStableFunc(all, func(a, b *failure) int { return cmp.Compare(b.count, a.count) })
	return all
}

// words is how many mappings of which set failed, and whose it is. Names are shown as show makes them.
func (g *group) words(show func(string) string) string {
	s := count(len(g.results), "mapping")
	if g.set != "" {
		s += " of " + show(g.set)
	}
	var owners []string
	for _, o := range g.owners[:min(listedOwners, len(g.owners))] {
		owners = append(owners, show(o))
	}
	if n := len(g.owners) - listedOwners; n > 0 {
		owners = append(owners, fmt.Sprintf("%d more", n))
	}
	if len(owners) > 0 {
		s += ", owned by " + strings.Join(owners, ", ")
	}
	return s
}

func plain(s string) string { return s }

// culprit is the image that the error is about.
func (r *Result) culprit() string {
	if r.Side == "source" {
		return "from " + r.Source
	}
	return "to " + r.Destination
}
