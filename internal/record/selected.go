package record

import (
	"fmt"

	"imagemirror/internal/report"
	"imagemirror/internal/text"
)

// maxSelections bounds the selections of a set.
const maxSelections = 200

// A Selection tells how the tags of a wildcard became mappings in the last run that had a plan.
type Selection struct {
	Source    string `json:"source"` // as in the mapping file, with its wildcard
	File      string `json:"file"`
	Line      int    `json:"line"`
	Rule      string `json:"rule"`              // of the set's settings, as file:line
	Listed    int    `json:"listed"`            // tags of the repository
	Selected  int    `json:"selected"`          // tags that are mirrored
	Minimum   int    `json:"minimum,omitempty"` // fewer selected tags fail the mapping
	Attrition string `json:"attrition"`         // how many are left after each step, and which are selected
}

// Enough reports whether as many tags are selected as there have to be.
func (s *Selection) Enough() bool { return s.Selected >= max(s.Minimum, 1) }

// takeSelections takes over what a run selected. What a run without a plan leaves out stays.
func (r *Record) takeSelections(before *Record, run *report.Report, latest bool) {
	if len(run.Sets) == 0 || !latest {
		r.Selections = before.Selections
		return
	}
	for _, s := range run.Selections[:min(len(run.Selections), maxSelections)] {
		r.Selections = append(r.Selections, &Selection{
			Source: s.Source, File: s.File, Line: max(s.Line, 0), Rule: s.Rule,
			Listed: max(s.Listed, 0), Selected: max(s.Selected, 0), Minimum: max(s.Minimum, 0), Attrition: text.Line(s.Attrition, maxShort),
		})
	}
}

func (s *Selection) check() error {
	if min(s.Line, s.Listed, s.Selected, s.Minimum) < 0 || s.Source == "" {
		return fmt.Errorf("it has no source, or a negative count")
	}
	return checkTexts(maxName, s.Source, s.File, s.Rule, s.Attrition)
}
