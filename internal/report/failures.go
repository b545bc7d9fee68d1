package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"imagemirror/internal/fault"
	"imagemirror/internal/text"
)

// Bounds on what people are shown of a cause.
const (
	listedPeople = 10 // owners of a set, and people to tell
	listedSets   = 10 // that a cause hits
	listedLines  = 20 // of mapping files
)

// share returns how many lines of each set are listed: fewer if they say nothing of the cause.
func (c *Cause) share() int {
	if c.Kind.PerImage() || c.Kind == fault.Missing {
		return max(2, listedLines/max(2, len(c.Sets)))
	}
	return max(2, listedLines/2/max(1, len(c.Sets)))
}

// happened returns the result's error with the side at fault and the HTTP status, in one line.
func (r *Result) happened() string {
	if where := r.where(); where != "" {
		return where + ": " + r.Error
	}
	return r.Error
}

func (r *Result) where() string {
	switch {
	case r.Side != "" && r.HTTPStatus != 0:
		return fmt.Sprintf("%s, HTTP %d", r.Side, r.HTTPStatus)
	case r.HTTPStatus != 0:
		return fmt.Sprintf("HTTP %d", r.HTTPStatus)
	}
	return r.Side
}

// extent returns how much failed for the cause, when, and whose it is if that is one set. show
// escapes names for the format.
func (c *Cause) extent(show func(string) string) string {
	s := text.Count(c.Mappings, "mapping")
	if len(c.Sets) > 1 {
		s += fmt.Sprintf(" of %d sets", len(c.Sets))
	} else if c.Sets[0].Set != "" {
		s += " of " + show(c.Sets[0].Set)
	}
	switch {
	case c.Host == "":
	case c.Side == "source":
		s += " from it"
	case c.Side == "destination":
		s += " to it"
	}
	switch first, last := c.First.Format(clock), c.Last.Format(clock); {
	case c.First.IsZero():
	case first == last:
		s += ", at " + first + " UTC"
	default:
		s += ", " + first + " to " + last + " UTC"
	}
	if len(c.Sets) == 1 {
		s += c.Sets[0].people(show)
	}
	return s
}

// clock is the form of a time of day.
const clock = "15:04:05"

// heading returns how many mappings of the set failed, and its people. show escapes names for the
// format.
func (s *CauseSet) heading(show func(string) string) string {
	return show(cmp.Or(s.Set, noSet)) + ": " + text.Count(s.Mappings, "mapping") + s.people(show)
}

// people returns who owns the set, and whom to tell.
func (s *CauseSet) people(show func(string) string) string {
	line := ""
	if owners := listPeople(s.Owners, show); owners != "" {
		line += "; owned by " + owners
	}
	if notify := listPeople(s.Notify, show); notify != "" {
		line += "; tell " + notify
	}
	return line
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

// lines returns the lines of mapping files of a set that failed for the cause.
func (c *Cause) lines(set string) []*mappingLine {
	var of []*Result
	for _, m := range c.Results {
		if m.Set == set {
			of = append(of, m)
		}
	}
	return groupLines(of)
}

// aim returns the images that the failure is about, for people: the source, or the destinations.
func (l *mappingLine) aim() string {
	if l.Side == "source" {
		return "from " + l.shownSource()
	}
	return "to " + l.destinations(plain)
}

// speaks reports whether lines of the cause are shown with their own errors: those of images are
// about each, those of a registry say the same.
func (c *Cause) speaks() bool {
	return c.Kind.PerImage() && slices.ContainsFunc(c.Results, func(m *Result) bool { return m.Error != c.Message })
}

// reasons returns the errors that tell what the cause is. Those of a run that did not finish name
// no image, so that each is a reason of its own: a shard that never ran, one that was interrupted.
func (c *Cause) reasons() []string {
	all := []string{c.Message}
	if c.Kind != fault.Unfinished {
		return all
	}
	for _, m := range c.Results {
		if len(all) < listedReasons && !slices.Contains(all, m.Error) {
			all = append(all, m.Error)
		}
	}
	return all
}
