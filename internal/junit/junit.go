// Package junit writes JUnit's XML, by the elements of it that the CI systems agree on.
package junit

import (
	"encoding/xml"
	"fmt"
	"io"
)

// Suites is a whole document.
type Suites struct {
	XMLName xml.Name `xml:"testsuites"`
	Name    string   `xml:"name,attr"`
	Totals
	Suites []*Suite `xml:"testsuite"`
}

// A Suite is a group of cases. Add counts them.
type Suite struct {
	Name string `xml:"name,attr"`
	Totals
	Cases []Case `xml:"testcase"`
}

// Totals count the cases of a suite, or of all.
type Totals struct {
	Tests    int     `xml:"tests,attr"`
	Failures int     `xml:"failures,attr"`
	Errors   int     `xml:"errors,attr"`
	Skipped  int     `xml:"skipped,attr"`
	Time     Seconds `xml:"time,attr"`
}

// A Case passed where it has no Failure and was not skipped.
type Case struct {
	Class   string  `xml:"classname,attr"`
	Name    string  `xml:"name,attr"`
	File    string  `xml:"file,attr,omitempty"`
	Line    int     `xml:"line,attr,omitempty"`
	Time    Seconds `xml:"time,attr"`
	Failure *Result `xml:"failure"`
	Skipped *Result `xml:"skipped"`
	Output  string  `xml:"system-out,omitempty"`
}

// A Result says why a case failed or was skipped.
type Result struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",cdata"`
}

// Seconds are those of a time attribute.
type Seconds float64

// MarshalText keeps large and small times out of the exponent notation, which readers of JUnit do not expect.
func (s Seconds) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%.3f", float64(s)), nil }

// Suite adds an empty suite.
func (s *Suites) Suite(name string) *Suite {
	one := &Suite{Name: name}
	s.Suites = append(s.Suites, one)
	return one
}

// Add adds a case.
func (s *Suite) Add(c Case) {
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

// Write writes the document. took is the time of the whole, which may be less than that of its cases together.
func (s *Suites) Write(w io.Writer, took Seconds) error {
	s.Totals = Totals{Time: took}
	for _, one := range s.Suites {
		s.Tests += one.Tests
		s.Failures += one.Failures
		s.Skipped += one.Skipped
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(s); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}
