// Package finding holds what a check finds in files that people write, and writes it in the
// forms that CI systems show beside a pull request: GitHub's annotations, SARIF or JUnit.
//
// A finding is made where the mistake is seen, with its rule, file and line. It becomes text
// only when it is shown.
package finding

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"imagemirror/internal/secret"
	"imagemirror/internal/text"
)

// A Rule is a kind of finding.
type Rule struct {
	ID   string // such as "reversed"
	Text string // what the rule asks for, in a sentence
}

// The rules of findings that several packages make. A package has its other rules itself.
var (
	Input = &Rule{"input", "Every run can read the files, and each destination has one source."}
	Odd   = &Rule{"odd", "Nothing is written twice, or left without effect."}
)

// A Finding is one thing that is wrong, or odd, at a place in a file. As an error it is the line
// "file:line: message".
type Finding struct {
	Rule    *Rule
	Warning bool // it refuses nothing
	File    string
	Line    int // from 1; 0 if the finding is about a path, or about no file
	Err     error
}

// Error returns the finding as one printable line.
func (f Finding) Error() string {
	line := secret.Hide(f.Err.Error())
	switch {
	case f.File == "":
	case f.Line == 0:
		line = f.File + ": " + line
	default:
		line = fmt.Sprintf("%s:%d: %s", f.File, f.Line, line)
	}
	return text.Printable(line)
}

// Unwrap returns what was found, without its place.
func (f Finding) Unwrap() error { return f.Err }

// MaxKept bounds the findings of each kind that a List keeps. It counts the rest: hostile
// files may have a mistake on every line.
const MaxKept = 1000

// A ruleKey names what a List counts together.
type ruleKey struct {
	rule    *Rule
	warning bool
}

// A List collects findings: the first MaxKept mistakes and the first MaxKept warnings of each
// rule. The zero value is an empty list.
type List struct {
	kept  []Finding
	count map[ruleKey]int // of all findings, kept or not
	cut   []Finding       // the first of each kind that was not kept
}

// Add appends a finding.
func (l *List) Add(f Finding) { l.add(f, 1) }

// add appends a finding that stands for n of its kind.
func (l *List) add(f Finding, n int) {
	if l.count == nil {
		l.count = map[ruleKey]int{}
	}
	k := ruleKey{f.Rule, f.Warning}
	switch before := l.count[k]; {
	case before < MaxKept:
		l.kept = append(l.kept, f)
	case before == MaxKept:
		l.cut = append(l.cut, f)
	}
	l.count[k] += n
}

// Refuse adds a mistake.
func (l *List) Refuse(rule *Rule, file string, line int, format string, args ...any) {
	l.Add(Finding{Rule: rule, File: file, Line: line, Err: fmt.Errorf(format, args...)})
}

// Warn adds a warning.
func (l *List) Warn(rule *Rule, file string, line int, format string, args ...any) {
	l.Add(Finding{Rule: rule, Warning: true, File: file, Line: line, Err: fmt.Errorf(format, args...)})
}

// Merge appends the findings of another list.
func (l *List) Merge(other *List) {
	for _, f := range other.kept {
		l.Add(f)
	}
	for _, f := range other.cut {
		l.add(f, other.count[ruleKey{f.Rule, f.Warning}]-MaxKept)
	}
}

// Promote turns the warnings of a rule into mistakes.
func (l *List) Promote(rule *Rule) {
	for _, list := range [][]Finding{l.kept, l.cut} {
		for i := range list {
			list[i].Warning = list[i].Warning && list[i].Rule != rule
		}
	}
	warnings := ruleKey{rule, true}
	if n := l.count[warnings]; n > 0 {
		delete(l.count, warnings)
		l.count[ruleKey{rule, false}] += n
	}
}

// Sort orders the findings by file and line.
func (l *List) Sort() {
	slices.SortStableFunc(l.kept, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
}

// All returns the findings in order. If some of a kind were not kept, the last finding of
// that kind counts them.
func (l *List) All() []Finding {
	all := slices.Clone(l.kept)
	for _, f := range l.cut {
		f.Err = fmt.Errorf("there are %d more findings of the rule %q, the first of them here: correct those before and check again",
			l.count[ruleKey{f.Rule, f.Warning}]-MaxKept, f.Rule.ID)
		all = append(all, f)
	}
	return all
}

// Warnings returns the findings that refuse nothing.
func (l *List) Warnings() []Finding {
	return slices.DeleteFunc(l.All(), func(f Finding) bool { return !f.Warning })
}

// Err returns the mistakes as one error with a line for each, or nil if there are none.
func (l *List) Err() error {
	var errs []error
	for _, f := range l.All() {
		if !f.Warning {
			errs = append(errs, f)
		}
	}
	return errors.Join(errs...)
}
