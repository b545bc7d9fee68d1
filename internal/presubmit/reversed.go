package presubmit

import (
	"fmt"
	"strings"

	"imagemirror/internal/finding"
	"imagemirror/internal/imageset"
	"imagemirror/internal/mapping"
	"imagemirror/internal/reference"
)

// A way is where a mapping leads from and to: repositories, organizations or registries.
type way struct{ from, to string }

func (w way) back() way { return way{w.to, w.from} }

// organization returns the registry and the first element of the path.
func organization(r reference.Reference) string {
	first, _, _ := strings.Cut(r.Repository, "/")
	return r.Registry + "/" + first
}

func organizations(m *mapping.Mapping) way {
	return way{organization(m.Source), organization(m.Destination)}
}

func registries(m *mapping.Mapping) way { return way{m.Source.Registry, m.Destination.Registry} }

// wayOf returns the repositories of a mapping.
func wayOf(m *mapping.Mapping) way { return way{m.Source.Name(), m.Destination.Name()} }

// A traffic counts mappings by their ways, and has the first of each.
type traffic struct {
	of     func(*mapping.Mapping) way
	count  map[way]int
	first  map[way]*mapping.Mapping
	number map[way]int // in the order in which the ways were met
}

func newTraffic(of func(*mapping.Mapping) way) *traffic {
	return &traffic{of: of, count: map[way]int{}, first: map[way]*mapping.Mapping{}, number: map[way]int{}}
}

func (t *traffic) add(m *mapping.Mapping) {
	w := t.of(m)
	if t.count[w]++; t.first[w] == nil {
		t.first[w], t.number[w] = m, len(t.number)
	}
}

// against returns a mapping that goes the opposite way of m, or nil, and by how many such
// mappings outnumber those that go m's way.
func (t *traffic) against(m *mapping.Mapping) (*mapping.Mapping, int) {
	w := t.of(m)
	if w.from == w.to {
		return nil, 0
	}
	return t.first[w.back()], t.count[w.back()] - t.count[w]
}

// later reports whether m's way was met after the opposite one.
func (t *traffic) later(m *mapping.Mapping) bool {
	w := t.of(m)
	return t.number[w] > t.number[w.back()]
}

// A roles value counts how often repositories are published to and read from.
type roles struct {
	published, read map[string]int
	publisher       map[string]*mapping.Mapping // the first that publishes to a repository
}

func (r *roles) add(m *mapping.Mapping) {
	src, dst := m.Source.Name(), m.Destination.Name()
	r.read[src]++
	if r.published[dst]++; r.publisher[dst] == nil {
		r.publisher[dst] = m
	}
}

// swapped reports whether other mappings publish to m's source and read its destination.
func (r *roles) swapped(m *mapping.Mapping) bool {
	src, dst := m.Source.Name(), m.Destination.Name()
	return src != dst && r.published[src] > r.read[src] && r.read[dst] > r.published[dst]
}

// A directions value has what is known of the ways that mappings go.
type directions struct {
	pairs, everywhere *traffic // all sets' pairs of repositories and of organizations
	roles             roles    // of all sets' repositories
	here, coarse      *traffic // one set's organizations and registries
}

// reversed finds lines whose source is where the sets publish to, and whose destination is
// where they read from. A line from a public registry to that of a CI system proves nothing:
// base images go that way. It takes other lines that go the opposite way: between the same
// repositories in any set, or between the same organizations in this set. A set whose
// settings list its destinations is exempt: a swapped line is outside of them.
func (c *checker) reversed(input *imageset.Input) {
	d := &directions{
		pairs: newTraffic(wayOf), everywhere: newTraffic(organizations),
		roles: roles{published: map[string]int{}, read: map[string]int{}, publisher: map[string]*mapping.Mapping{}},
	}
	for _, set := range input.Sets {
		for i := range set.Mappings {
			m := &set.Mappings[i]
			d.pairs.add(m)
			d.everywhere.add(m)
			d.roles.add(m)
		}
	}
	for _, set := range input.Sets {
		if len(set.Settings.Destinations) == 0 {
			c.reversedIn(set, d)
		}
	}
}

func (c *checker) reversedIn(set *imageset.Set, d *directions) {
	d.here, d.coarse = newTraffic(organizations), newTraffic(registries)
	for i := range set.Mappings {
		d.here.add(&set.Mappings[i])
		d.coarse.add(&set.Mappings[i])
	}
	file, line := "", 0 // of the last finding: a line with many destinations is one
	for i := range set.Mappings {
		m := &set.Mappings[i]
		other, sure := d.contradicts(m)
		if other == nil || m.File == file && m.Line == line {
			continue
		}
		file, line = m.File, m.Line
		c.found.Add(finding.Finding{Rule: ruleReversed, Warning: !sure, File: file, Line: line, Err: fmt.Errorf(
			"source and destination seem to be swapped: this line goes from %s to %s, but %s:%d goes from %s to %s: write the source first, or if this is intended, list the destination in the set's settings.yaml",
			m.Source.Name(), m.Destination.Name(), other.File, other.Line, other.Source.Name(), other.Destination.Name())})
	}
}

// contradicts returns a mapping that goes against m's direction, or nil, and whether that is
// a sure sign.
func (d *directions) contradicts(m *mapping.Mapping) (other *mapping.Mapping, sure bool) {
	if d.roles.swapped(m) {
		return d.roles.publisher[m.Source.Name()], true
	}
	if other, more := d.pairs.against(m); other != nil {
		// One of the two is wrong, whichever it is.
		if wrong, tie := d.minority(m, more); wrong || tie {
			return other, true
		}
		return nil, false
	}
	if other, more := d.here.against(m); other != nil {
		if wrong, tie := d.minority(m, more); wrong || tie {
			return other, wrong
		}
		return nil, false
	}
	if other, more := d.coarse.against(m); more > 0 {
		return other, false
	}
	return nil, false
}

// minority reports whether m goes the wrong way: more mappings go the opposite way than m's.
// If as many go each way in the set, the mappings of all sets decide. If those are tied too, the
// way that was met later counts as wrong.
func (d *directions) minority(m *mapping.Mapping, more int) (wrong, tie bool) {
	if more == 0 {
		_, more = d.everywhere.against(m)
	}
	return more > 0, more == 0 && d.everywhere.later(m)
}
