package mapping

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxProblems bounds what is said of one file: behind it stands the count of the rest.
const maxProblems = 1000

// A Problem is one thing that is wrong, or odd, at a place in a file.
type Problem struct {
	File string
	Line int // from 1; 1 also where it is about the file as a whole
	Err  error
}

func (p *Problem) Error() string { return fmt.Sprintf("%s:%d: %v", p.File, p.Line, p.Err) }

// Unwrap is what the problem is, without its place.
func (p *Problem) Unwrap() error { return p.Err }

// Problems are those of one file. The zero value has none. As an error it prints a line for each.
type Problems struct {
	list []*Problem
	more int // how many were not kept
}

// Add notes a problem. Beyond 1,000 they are only counted.
func (p *Problems) Add(file string, line int, err error) {
	if len(p.list) == maxProblems {
		p.more++
		return
	}
	p.list = append(p.list, &Problem{File: file, Line: line, Err: err})
}

// Sort orders the problems by their lines.
func (p *Problems) Sort() {
	slices.SortStableFunc(p.list, func(a, b *Problem) int { return cmp.Compare(a.Line, b.Line) })
}

// Lines are the problems as "file:line: message", in the order in which they are kept.
func (p *Problems) Lines() []string {
	var lines []string
	for _, one := range p.list {
		lines = append(lines, one.Error())
	}
	if p.more > 0 {
		last := p.list[len(p.list)-1]
		rest := Problem{File: last.File, Line: last.Line, Err: fmt.Errorf("there are %d more of these: mend the first ones and check again", p.more)}
		lines = append(lines, rest.Error())
	}
	return lines
}

func (p *Problems) Error() string { return strings.Join(p.Lines(), "\n") }

// Unwrap are the problems that are kept.
func (p *Problems) Unwrap() []error {
	errs := make([]error, len(p.list))
	for i, one := range p.list {
		errs[i] = one
	}
	return errs
}

// Err is p as an error, or nil where it has no problem.
func (p *Problems) Err() error {
	if len(p.list) == 0 {
		return nil
	}
	return p
}
