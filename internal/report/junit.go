package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"path"
	"strings"

	"imagemirror/internal/stream"
)

// The elements of JUnit's XML that the CI systems agree on.
type (
	testSuites struct {
		XMLName xml.Name `xml:"testsuites"`
		Name    string   `xml:"name,attr"`
		totals
		Suites []*testSuite `xml:"testsuite"`
	}
	testSuite struct {
		Name string `xml:"name,attr"`
		totals
		Cases []testCase `xml:"testcase"`
	}
	totals struct {
		Tests    int     `xml:"tests,attr"`
		Failures int     `xml:"failures,attr"`
		Errors   int     `xml:"errors,attr"`
		Skipped  int     `xml:"skipped,attr"`
		Time     seconds `xml:"time,attr"`
	}
	testCase struct {
		Class   string      `xml:"classname,attr"`
		Name    string      `xml:"name,attr"`
		File    string      `xml:"file,attr,omitempty"`
		Line    int         `xml:"line,attr,omitempty"`
		Time    seconds     `xml:"time,attr"`
		Failure *testResult `xml:"failure"`
		Skipped *testResult `xml:"skipped"`
	}
	testResult struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",cdata"`
	}
	seconds float64
)

// MarshalText keeps large and small times out of the exponent notation, which readers of JUnit do not expect.
func (s seconds) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%.3f", float64(s)), nil }

// writeJUnit writes a test suite for each image set and a test case for each mapping, so that any CI shows them.
func (r *Report) writeJUnit(w io.Writer) error {
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(r.testSuites()); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}

func (r *Report) testSuites() *testSuites {
	all := &testSuites{Name: "imagemirror"}
	of := map[string]*testSuite{}
	for _, m := range r.Results {
		s := of[m.Set]
		if s == nil {
			s = all.suite(m.Set)
			of[m.Set] = s
		}
		s.add(m.testCase())
	}
	if r.Summary.Unknown > 0 {
		all.suite("streams").add(testCase{
			Class:   "streams",
			Name:    "every mapping is known",
			Failure: &testResult{Message: count(r.Summary.Unknown, "mapping") + " unknown", Text: strings.Join(r.Cuts, "\n")},
		})
	}
	if err := r.Err(); len(r.Summary.NoPlan) > 0 {
		all.suite("split").add(testCase{
			Class:   "split",
			Name:    "there is a plan",
			Failure: &testResult{Message: err.Error(), Text: strings.Join(r.Summary.NoPlan, "\n")},
		})
	}
	for _, s := range all.Suites {
		all.Tests += s.Tests
		all.Failures += s.Failures
		all.Skipped += s.Skipped
	}
	all.Time = seconds(r.Summary.DurationSeconds)
	return all
}

func (t *testSuites) suite(set string) *testSuite {
	if set == "" {
		set = "(no set)"
	}
	s := &testSuite{Name: set}
	t.Suites = append(t.Suites, s)
	return s
}

func (s *testSuite) add(c testCase) {
	s.Cases = append(s.Cases, c)
	s.Tests++
	s.Time += c.Time
	if c.Failure != nil {
		s.Failures++
	}
	if c.Skipped != nil {
		s.Skipped++
	}
}

func (r *Result) testCase() testCase {
	c := testCase{
		Class: path.Join(r.Set, path.Base(r.File)),
		Name:  r.Destination,
		File:  r.File,
		Line:  r.Line,
		Time:  seconds(r.Seconds),
	}
	switch r.Status {
	case stream.Failed:
		c.Failure = &testResult{Message: r.cause().String(), Type: r.Side, Text: r.story()}
	case Planned:
		c.Skipped = &testResult{Message: "dry run: to be copied"}
	}
	return c
}

// story is what a person needs who sees a failure and nothing else.
func (r *Result) story() string {
	lines := []string{
		r.at(),
		r.Source + " to " + r.Destination,
		r.cause().String(),
	}
	if r.Advice != "" {
		lines = append(lines, "What to do: "+r.Advice)
	}
	if len(r.Owners) > 0 {
		lines = append(lines, "Owners: "+strings.Join(r.Owners, ", "))
	}
	return strings.Join(lines, "\n")
}
