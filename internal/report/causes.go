package report

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"imagemirror/internal/fault"
)

// A Cause is one reason why mappings failed, however many they are and whatever their messages:
// failures of one kind at one host are one cause. A registry that is down is one Cause that lists
// all mappings, and so are 311 images that one registry does not have.
//
// A Report has a Cause exactly if its verdict is not good. One without Results is about the run:
// there is no plan, or its results cannot be relied on.
type Cause struct {
	// Key is SIDE/HOST/KIND, with - for a side or a host that is not known. It is the same in
	// each run that meets the cause, so that runs can be compared. It is printable and bounded,
	// but comes from outside: escape it.
	Key  string     `json:"key"`
	Kind fault.Kind `json:"kind"`
	Side string     `json:"side,omitempty"` // "source" or "destination", if one is at fault
	Host string     `json:"host,omitempty"` // at fault: a registry, or a CDN, token service or proxy

	Title   string `json:"title"`            // says for people what is wrong, and names the host
	Message string `json:"message"`          // the error of the mapping that failed first
	Advice  string `json:"advice,omitempty"` // what to do about that
	Status  int    `json:"httpStatus,omitempty"`

	Mappings int         `json:"mappings"` // that failed for it
	Sets     []*CauseSet `json:"sets"`     // they belong to, those with most failures first
	First    time.Time   `json:"first,omitzero"`
	Last     time.Time   `json:"last,omitzero"`

	Results []*Result `json:"-"` // that failed for it, in the order of the report
}

// A CauseSet is what a cause does to one image set.
type CauseSet struct {
	Set      string   `json:"set"` // "" for mappings that belong to no set
	Mappings int      `json:"mappings"`
	Owners   []string `json:"owners,omitempty"`
	Notify   []string `json:"notify,omitempty"` // whom to tell
}

// Bounds of causes. A registry chooses the hosts that it leads to.
const (
	maxHosts = 100 // with a cause of their own; failures at others are one cause of their kind
	maxHost  = 255 // characters, as of a name in DNS with a port
)

// causes groups results that failed. The cause of most mappings comes first; otherwise the order
// is that of the results. ended is the time of failures that have none.
func causes(failed []*Result, ended time.Time) []*Cause {
	g := causeGatherer{byKey: map[string]*Cause{}, hosts: map[string]bool{}, bySet: map[[2]string]*CauseSet{}}
	for _, m := range failed {
		g.add(m, ended)
	}
	for _, c := range g.all {
		slices.SortStableFunc(c.Sets, func(a, b *CauseSet) int { return cmp.Compare(b.Mappings, a.Mappings) })
	}
	slices.SortStableFunc(g.all, func(a, b *Cause) int { return cmp.Compare(b.Mappings, a.Mappings) })
	return g.all
}

// A causeGatherer has causes on their way.
type causeGatherer struct {
	all   []*Cause
	byKey map[string]*Cause
	hosts map[string]bool
	bySet map[[2]string]*CauseSet // by the key of the cause and the name of the set
}

// add adds a failure to its cause.
func (g *causeGatherer) add(m *Result, ended time.Time) {
	if len(g.hosts) < maxHosts || g.hosts[m.Host] {
		g.hosts[m.Host] = true
	} else {
		m.Host = ""
	}
	m.Cause = causeKey(m.Side, m.Host, m.Kind)
	c := g.byKey[m.Cause]
	if c == nil {
		c = &Cause{Key: m.Cause, Kind: m.Kind, Side: m.Side, Host: m.Host, Title: m.Kind.Title(m.Host)}
		g.byKey[c.Key] = c
		g.all = append(g.all, c)
	}
	at := m.Time
	if at.IsZero() {
		at = ended
	}
	c.add(m, at)
	s := g.bySet[[2]string{c.Key, m.Set}]
	if s == nil {
		s = &CauseSet{Set: m.Set, Owners: m.Owners, Notify: m.Notify}
		g.bySet[[2]string{c.Key, m.Set}] = s
		c.Sets = append(c.Sets, s)
	}
	s.Mappings++
}

// causeKey returns the Key of a cause.
func causeKey(side, host string, kind fault.Kind) string {
	return strings.Join([]string{cmp.Or(side, "-"), cmp.Or(host, "-"), string(kind)}, "/")
}

// add adds a mapping that failed at a time.
func (c *Cause) add(m *Result, at time.Time) {
	if c.Mappings == 0 || at.Before(c.First) {
		c.First, c.Message, c.Advice, c.Status = at, m.Error, m.Advice, m.HTTPStatus
	}
	if at.After(c.Last) {
		c.Last = at
	}
	c.Mappings++
	c.Results = append(c.Results, m)
}

// ofRun returns the cause of a verdict that no mapping's failure explains, or nil.
func (s *Summary) ofRun(ended time.Time, err error) *Cause {
	if err == nil || s.Failed > 0 {
		return nil
	}
	kind, advice := fault.Disagreement, lookAtTag
	switch {
	case len(s.NoPlan) > 0:
		kind, advice = fault.NoPlan, "correct what the message names, then run again"
	case s.Unknown > 0:
		kind, advice = fault.Unfinished, runAgain
	case len(s.Problems) == 0 && s.Overdue > 0:
		kind, advice = fault.Deferred, "run again at that time, or write allowDeferred: true in the set's settings.yaml"
	}
	return &Cause{
		Key: causeKey("", "", kind), Kind: kind, Title: kind.Title(""), Message: err.Error(), Advice: advice, Sets: []*CauseSet{},
		First: ended, Last: ended,
	}
}
