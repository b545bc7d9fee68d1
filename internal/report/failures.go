package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"imagemirror/internal/stream"
)

// listedPeople bounds how many owners of a set are named, and how many people to tell.
const listedPeople = 10

// A cause is why a mapping failed. Mappings that failed for the same cause are shown together.
type cause struct {
	side    string
	status  int
	message string
	advice  string
}

func (r *Result) cause() cause { return cause{r.Side, r.HTTPStatus, r.Error, r.Advice} }

// String returns the cause without the advice, in one line.
func (c cause) String() string {
	if where := c.where(); where != "" {
		return where + ": " + c.message
	}
	return c.message
}

func (c cause) where() string {
	switch {
	case c.side != "" && c.status != 0:
		return fmt.Sprintf("%s, HTTP %d", c.side, c.status)
	case c.status != 0:
		return fmt.Sprintf("HTTP %d", c.status)
	}
	return c.side
}

// A failure is a cause and the mappings that failed for it.
type failure struct {
	cause
	groups []*failedGroup
	count  int
}

// A failedGroup is those mappings of a failure that belong to the same set and people.
type failedGroup struct {
	set     string
	people  contacts
	results []*Result
}

// failures groups what failed. The cause of most mappings comes first; otherwise the order is
// that of the results.
func (r *Report) failures() []*failure {
	type groupKey struct {
		cause
		set, owners, notify string
	}
	var all []*failure
	byCause, byGroup := map[cause]*failure{}, map[groupKey]*failedGroup{}
	for _, m := range r.withStatus(stream.Failed) {
		f := byCause[m.cause()]
		if f == nil {
			f = &failure{cause: m.cause()}
			byCause[f.cause] = f
			all = append(all, f)
		}
		f.count++
		key := groupKey{f.cause, m.Set, strings.Join(m.Owners, "\n"), strings.Join(m.Notify, "\n")}
		g := byGroup[key]
		if g == nil {
			g = &failedGroup{set: m.Set, people: contacts{m.Owners, m.Notify}}
			byGroup[key] = g
			f.groups = append(f.groups, g)
		}
		g.results = append(g.results, m)
	}
	slices.SortStableFunc(all, func(a, b *failure) int { return cmp.Compare(b.count, a.count) })
	return all
}

// heading returns how many mappings of which set failed, who owns it, and whom to tell. show
// escapes names for the format.
func (g *failedGroup) heading(show func(string) string) string {
	s := count(len(g.results), "mapping")
	if g.set != "" {
		s += " of " + show(g.set)
	}
	if owners := listPeople(g.people.owners, show); owners != "" {
		s += ", owned by " + owners
	}
	if notify := listPeople(g.people.notify, show); notify != "" {
		s += "; tell " + notify
	}
	return s
}

// listPeople returns the first of names, and how many more there are.
func listPeople(names []string, show func(string) string) string {
	var list []string
	for _, name := range names[:min(listedPeople, len(names))] {
		list = append(list, show(name))
	}
	if n := len(names) - listedPeople; n > 0 {
		list = append(list, fmt.Sprintf("%d more", n))
	}
	return strings.Join(list, ", ")
}

// culprit returns the image that the error is about.
func (r *Result) culprit() string {
	if r.Side == "source" {
		return "from " + r.Source
	}
	return "to " + r.Destination
}
