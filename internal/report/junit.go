package report

import (
	"cmp"
	"io"
	"path"
	"strings"

	"imagemirror/internal/junit"
	"imagemirror/internal/stream"
	"imagemirror/internal/text"
)

// WriteJUnit writes a test suite for each image set and a test case for each mapping, so that
// any CI shows them.
func (r *Report) WriteJUnit(w io.Writer) error {
	return r.testSuites().Write(w, junit.Seconds(r.Summary.DurationSeconds))
}

func (r *Report) testSuites() *junit.Suites {
	all := &junit.Suites{Name: "imagemirror"}
	of := map[string]*junit.Suite{}
	for _, m := range r.Results {
		s := of[m.Set]
		if s == nil {
			s = all.Suite(cmp.Or(m.Set, noSet))
			of[m.Set] = s
		}
		s.Add(m.testCase())
	}
	if r.Summary.Unknown > 0 {
		all.Suite("streams").Add(junit.Case{
			Class:   "streams",
			Name:    "every mapping is known",
			Failure: &junit.Detail{Message: text.Count(r.Summary.Unknown, "mapping") + " unknown", Text: strings.Join(r.Cuts, "\n")},
		})
	}
	if len(r.Summary.Problems) > 0 {
		all.Suite("streams").Add(junit.Case{
			Class:   "streams",
			Name:    "the results agree with the plan",
			Failure: &junit.Detail{Message: r.Summary.Problems[0], Text: strings.Join(r.Summary.Problems, "\n")},
		})
	}
	if err := r.Err(); len(r.Summary.NoPlan) > 0 {
		all.Suite("split").Add(junit.Case{
			Class:   "split",
			Name:    "there is a plan",
			Failure: &junit.Detail{Message: err.Error(), Text: strings.Join(r.Summary.NoPlan, "\n")},
		})
	}
	return all
}

func (r *Result) testCase() junit.Case {
	c := junit.Case{
		Class: path.Join(r.Set, path.Base(r.File)),
		Name:  r.Destination,
		File:  r.File,
		Line:  r.Line,
		Time:  junit.Seconds(r.Seconds),
	}
	switch r.Status {
	case stream.Failed:
		c.Failure = &junit.Detail{Message: r.happened(), Type: r.Side, Text: r.story()}
	case stream.Held, stream.Deferred:
		c.Skipped = &junit.Detail{Message: r.Status + ": " + r.Note}
	case Planned:
		c.Skipped = &junit.Detail{Message: "dry run: to be copied"}
	}
	return c
}

// story returns all that a person needs who sees this failure and nothing else.
func (r *Result) story() string {
	lines := []string{
		r.position(),
		r.Source + " to " + r.Destination,
		r.happened(),
	}
	if r.Advice != "" {
		lines = append(lines, "What to do: "+r.Advice)
	}
	if len(r.Owners) > 0 {
		lines = append(lines, "Owners: "+strings.Join(r.Owners, ", "))
	}
	if len(r.Notify) > 0 {
		lines = append(lines, "Tell: "+strings.Join(r.Notify, ", "))
	}
	return strings.Join(lines, "\n")
}
