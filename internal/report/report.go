// Package report judges a run. It gathers the streams that split and copy wrote, gives each mapping exactly one
// result, and shows them to people (a table, Markdown) and to systems (JSON, JUnit).
//
// What the streams say came from outside: mapping files, registries, whoever wrote the stream. It is bounded and
// made printable where it comes in, and each format escapes it once more by its own rules.
package report

import (
	"fmt"

	"imagemirror/internal/stream"
)

// Planned is the status of a mapping in a dry run whose image would be copied. The others are stream's.
const Planned = "planned"

// A Report is what became of one or more runs.
type Report struct {
	Summary Summary
	Results []*Result // one for each mapping, by run and by ID
	Cuts    []string  // a line for each stream that was cut, or is not there
}

// Summary counts the results.
type Summary struct {
	Mappings int  `json:"mappings"`
	Copied   int  `json:"copied"`
	Current  int  `json:"current"`
	Failed   int  `json:"failed"`
	Planned  *int `json:"planned,omitempty"` // set in a dry run only
	Unknown  int  `json:"unknown,omitempty"` // mappings that a cut stream announced and did not name; they are not in Mappings
	// Why split made no plan, so that nothing was mirrored; a line each. Only where the state of a run is read.
	NoPlan []string `json:"noPlan,omitempty"`
	// What split found odd about the files that it read; a line each.
	Warnings []string `json:"warnings,omitempty"`
	Bytes    int64    `json:"bytes"` // blob bytes sent; in a dry run, to be sent

	// From the start of the first command to the end of the last; 0 where the streams do not say.
	DurationSeconds float64 `json:"durationSeconds"`
}

// Result is what became of one mapping. All its text is one printable line.
type Result struct {
	Source      string   `json:"source"`
	Destination string   `json:"destination"`
	Status      string   `json:"status"`
	Digest      string   `json:"digest"` // of the image, where it is known
	Error       string   `json:"error"`  // why it failed
	Bytes       int64    `json:"bytes"`  // blob bytes sent for it; in a dry run, to be sent
	Old         string   `json:"old,omitempty"`
	Seconds     float64  `json:"seconds,omitempty"`
	Side        string   `json:"side,omitempty"`       // "source" or "destination", where one of them is at fault
	HTTPStatus  int      `json:"httpStatus,omitempty"` // the one that decided it
	Advice      string   `json:"advice,omitempty"`     // what to do
	Set         string   `json:"set,omitempty"`
	Owners      []string `json:"owners,omitempty"`
	Notify      []string `json:"notify,omitempty"` // whom to tell that it failed
	File        string   `json:"file"`             // the mapping file, as split was told it
	Line        int      `json:"line"`
}

// dry says that nothing was copied because nobody asked for it: the streams are plans.
func (r *Report) dry() bool { return r.Summary.Planned != nil }

// planned is how many images a dry run found to copy.
func (r *Report) planned() int {
	if !r.dry() {
		return 0
	}
	return *r.Summary.Planned
}

// Err is the verdict: nil where all is well.
func (r *Report) Err() error {
	s := r.Summary
	switch {
	case len(s.NoPlan) == 1:
		return fmt.Errorf("nothing was mirrored: %s", s.NoPlan[0])
	case len(s.NoPlan) > 1:
		return fmt.Errorf("nothing was mirrored: %s; and %d more", s.NoPlan[0], len(s.NoPlan)-1)
	case s.Failed > 0 && s.Unknown > 0:
		return fmt.Errorf("%d of %s failed, and %d more are unknown", s.Failed, count(s.Mappings, "mapping"), s.Unknown)
	case s.Failed > 0:
		return fmt.Errorf("%d of %s failed", s.Failed, count(s.Mappings, "mapping"))
	case s.Unknown > 0:
		return fmt.Errorf("%s unknown: copy was cut before it named all of its work", count(s.Unknown, "mapping"))
	}
	return nil
}

// only is the results that have the status.
func (r *Report) only(status string) []*Result {
	var some []*Result
	for _, m := range r.Results {
		if m.Status == status {
			some = append(some, m)
		}
	}
	return some
}

// at is where the mapping stands.
func (r *Result) at() string { return fmt.Sprintf("%s:%d", r.File, r.Line) }

// cause is why a mapping failed. Mappings with the same cause are told of together.
type cause struct {
	side    string
	status  int
	message string
	advice  string
}

// String is the cause without the advice, in one line.
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

func (r *Result) cause() cause {
	return cause{r.Side, r.HTTPStatus, r.Error, r.Advice}
}

// tally is the results of one image set in numbers.
type tally struct {
	set                                        string
	mappings, copied, current, planned, failed int
	bytes                                      int64
}

func (t *tally) add(r *Result) {
	t.mappings++
	switch r.Status {
	case stream.Copied:
		t.copied++
	case stream.Current:
		t.current++
	case Planned:
		t.planned++
	case stream.Failed:
		t.failed++
	}
	t.bytes = sum(t.bytes, r.Bytes)
}

// tallies is one for each set, in the order of the results, and one for all.
func (r *Report) tallies() (sets []*tally, total *tally) {
	total = &tally{set: "total"}
	of := map[string]*tally{}
	for _, m := range r.Results {
		t := of[m.Set]
		if t == nil {
			t = &tally{set: m.Set}
			if t.set == "" {
				t.set = "(no set)"
			}
			of[m.Set] = t
			sets = append(sets, t)
		}
		t.add(m)
		total.add(m)
	}
	return sets, total
}
