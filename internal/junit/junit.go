// Package junit writes JUnit XML, with the elements that CI systems agree on.
package junit

import (
	"encoding/xml"
	"fmt"
	"io"
)

// Suites is a document.
type Suites struct {
	XMLName xml.Name `xml:"testsuites"`
	Name    string   `xml:"name,attr"`
	Counts
	Suites []*Suite `xml:"testsuite"`
}

// A Suite is a group of cases. Add counts them.
type Suite struct {
	Name string `xml:"name,attr"`
	Counts
	Cases []Case `xml:"testcase"`
}

// Counts has the number of cases of a suite, or of all.
type Counts struct {
	Tests    int     `xml:"tests,attr"`
	Failures int     `xml:"failures,attr"`
	Errors   int     `xml:"errors,attr"`
	Skipped  int     `xml:"skipped,attr"`
	Time     Seconds `xml:"time,attr"`
}

// A Case passed if it has neither a Failure nor Skipped.
type Case struct {
	Class   string  `xml:"classname,attr"`
	Name    string  `xml:"name,attr"`
	File    string  `xml:"file,attr,omitempty"`
	Line    int     `xml:"line,attr,omitempty"`
	Time    Seconds `xml:"time,attr"`
	Failure *Detail `xml:"failure"`
	Skipped *Detail `xml:"skipped"`
	Output  string  `xml:"system-out,omitempty"`
}

// A Detail is why a case failed or was skipped.
type Detail struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",cdata"`
}

// Seconds is a time attribute.
type Seconds float64

// MarshalText writes no exponent, which readers of JUnit do not expect.
func (s Seconds) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%.3f", float64(s)), nil }

// Suite adds an empty suite and returns it.
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

// Write writes the document. took is the time of the whole, which may be less than the sum of
// its cases.
func (s *Suites) Write(w io.Writer, took Seconds) error {
	s.Counts = Counts{Time: took}
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
