package report

import (
	"bytes"
	"fmt"
	"slices"

	"imagemirror/internal/secret"
	"imagemirror/internal/selection"
	"imagemirror/internal/stream"
	"imagemirror/internal/text"
)

// A Selection tells how the tags of a wildcard became its mappings. Each of its texts is one
// printable line.
type Selection struct {
	Set       string           `json:"set,omitempty"`
	File      string           `json:"file"` // the mapping file, with its line
	Line      int              `json:"line"`
	Source    string           `json:"source"`              // with its wildcard
	Rule      string           `json:"rule"`                // of the set's settings, as file:line
	Listed    int              `json:"listed"`              // tags of the repository
	Selected  int              `json:"selected"`            // tags that are mirrored
	Minimum   int              `json:"minimum,omitempty"`   // fewer selected tags fail the mapping
	Steps     []selection.Step `json:"steps,omitempty"`     // those that the rule takes, in order
	Newest    []string         `json:"newest,omitempty"`    // of those selected, the first few, newest first
	Attrition string           `json:"attrition,omitempty"` // all of it in one line
}

// Bounds on the selections that people read.
const (
	maxAttrition     = 2000 // characters
	listedSelections = 20   // in the table
)

type selectionKey struct {
	run, set, file, source string
	line                   int
}

// addSelections takes in what a stream says of wildcards, which a plan and its results both have.
func (b *Builder) addSelections(c *stream.Content) {
	for _, s := range c.Selected {
		k := selectionKey{c.Header.Run, s.Set, s.File, s.Source, s.Line}
		if b.wildcards[k] || len(b.selections) == stream.MaxSelections {
			continue
		}
		b.wildcards[k] = true
		b.selections = append(b.selections, selected(s))
	}
}

// selected returns a selection of a stream, bounded and printable.
func selected(s stream.Selection) *Selection {
	shown := func(in string) string { return text.Line(secret.Hide(in), maxName) }
	s.Newest, s.Steps = slices.Clone(s.Newest), slices.Clone(s.Steps)
	for i, tag := range s.Newest {
		s.Newest[i] = shown(tag)
	}
	for i, step := range s.Steps {
		s.Steps[i].Out = slices.Clone(step.Out)
		for n, out := range step.Out {
			s.Steps[i].Out[n] = selection.Excluded{Tag: shown(out.Tag), Why: shown(out.Why)}
		}
	}
	return &Selection{
		Set: shown(s.Set), File: shown(s.File), Line: s.Line, Source: shown(s.Source), Rule: shown(s.Rule),
		Listed: s.Listed, Selected: s.Selected, Minimum: s.Minimum, Steps: s.Steps, Newest: s.Newest,
		Attrition: text.Line(s.Attrition(), maxAttrition),
	}
}

// position returns the file and the line of the wildcard.
func (s *Selection) position() string { return fmt.Sprintf("%s:%d", s.File, s.Line) }

// tableSelections tells in a dry run how wildcards became mappings.
func (r *Report) tableSelections(b *bytes.Buffer) {
	if !r.dryRun() || len(r.Selections) == 0 {
		return
	}
	startPart(b)
	fmt.Fprintln(b, "SELECTED")
	for _, s := range r.Selections[:min(listedSelections, len(r.Selections))] {
		fmt.Fprintf(b, "  %s  %s\n    %s\n", text.Clip(s.position(), shownName), text.Clip(s.Source, shownName), text.Clip(s.Attrition, shownText))
	}
	if n := len(r.Selections) - listedSelections; n > 0 {
		fmt.Fprintf(b, "  and %d more\n", n)
	}
}

// markdownSelections tells how wildcards became mappings.
func (r *Report) markdownSelections(p *markdownPage) {
	if len(r.Selections) == 0 || !p.room() {
		return
	}
	if r.dryRun() {
		p.line("### Selected\n")
	} else {
		p.line("<details><summary>%s selected from</summary>\n", text.Count(len(r.Selections), "wildcard"))
	}
	p.table([]string{"Mapping", "Source", "Tags"}, len(r.Selections), listedInPage, func(i int) []string {
		s := r.Selections[i]
		return []string{cell(s.position()), cell(s.Source), cell(s.Attrition)}
	})
	if !r.dryRun() {
		p.line("</details>\n")
	}
}

// selectionsOf returns the selections of a set.
func (r *Report) selectionsOf(set string) (some []*Selection) {
	for _, s := range r.Selections {
		if s.Set == set {
			some = append(some, s)
		}
	}
	return some
}
