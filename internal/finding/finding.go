// Package finding holds what a check finds wrong with files, and writes it in the forms that CI systems show beside a pull
// request: as lines, GitHub's annotations, SARIF or JUnit.
package finding

import (
	"cmp"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"imagemirror/internal/text"
)

// A Rule is a kind of finding.
type Rule struct {
	ID   string // such as "reversed"
	Text string // what the rule asks for, in a sentence
}

// A Finding is one thing that is wrong, or odd, at a place in a file.
type Finding struct {
	Rule    *Rule
	Warning bool // it refuses nothing
	File    string
	Line    int // from 1; 0 where it is about a path, or about no file
	Message string
}

// lineRE is how all that the commands say of files is written.
var lineRE = regexp.MustCompile(`^(.+?):(\d+): (.*)$`)

// Parse reads a finding from a line as the commands write it: "file:line: message", or "path: message".
func Parse(rule *Rule, line string) Finding {
	if m := lineRE.FindStringSubmatch(line); m != nil {
		if n, err := strconv.Atoi(m[2]); err == nil && n > 0 {
			return Finding{Rule: rule, File: m[1], Line: n, Message: m[3]}
		}
	}
	if path, message, found := strings.Cut(line, ": "); found && !strings.ContainsAny(path, " ") {
		return Finding{Rule: rule, File: path, Message: message}
	}
	return Finding{Rule: rule, Message: line}
}

// String is the finding as a line.
func (f Finding) String() string {
	switch {
	case f.File == "":
		return f.Message
	case f.Line == 0:
		return text.Printable(f.File) + ": " + f.Message
	}
	return fmt.Sprintf("%s:%d: %s", text.Printable(f.File), f.Line, f.Message)
}

// level is the word that both GitHub and SARIF have for it.
func (f Finding) level() string {
	if f.Warning {
		return "warning"
	}
	return "error"
}

// Sort orders findings by file and line.
func Sort(all []Finding) {
	slices.SortStableFunc(all, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
}

// A Report is all that a check of files found.
type Report struct {
	Files    []string // that were checked, also those with nothing wrong
	Findings []Finding
}

// forms are the forms besides lines, by name.
var forms = map[string]func(*Report, io.Writer) error{
	"github": (*Report).github,
	"sarif":  (*Report).sarif,
	"junit":  (*Report).junit,
}

// Text is the form in which nothing is written, since a command says its lines on standard error in any case.
const Text = "text"

// Forms are the names of all forms.
const Forms = "text, github, sarif or junit"

// Known says whether there is a form of that name.
func Known(form string) bool { return form == Text || forms[form] != nil }

// Write writes the report in the form of that name.
func (r *Report) Write(w io.Writer, form string) error {
	if form == Text {
		return nil
	}
	return forms[form](r, w)
}

// relative is a file's name from the working directory, as code review and the forms have it: with slashes.
func relative(file string) string {
	if filepath.IsAbs(file) {
		if here, err := filepath.Abs("."); err == nil {
			if rel, err := filepath.Rel(here, file); err == nil && filepath.IsLocal(rel) {
				file = rel
			}
		}
	}
	return filepath.ToSlash(text.Printable(file))
}
