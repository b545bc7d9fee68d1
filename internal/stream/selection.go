package stream

import (
	"fmt"
	"strings"

	"imagemirror/internal/selection"
	"imagemirror/internal/text"
)

// A Selection is what a rule of an image set's settings selects from the tags of a wildcard. It
// comes before the mappings.
type Selection struct {
	Set      string           `json:"set,omitempty"`
	File     string           `json:"file"` // of the mapping, with its line
	Line     int              `json:"line"`
	Source   string           `json:"source"`            // with its wildcard
	Rule     string           `json:"rule"`              // where it is, as file:line
	Listed   int              `json:"listed"`            // tags of the repository
	Steps    []selection.Step `json:"steps,omitempty"`   // those that the rule takes, in order
	Selected int              `json:"selected"`          // tags that are mirrored
	Newest   []string         `json:"newest,omitempty"`  // of them, the first few, newest first
	Minimum  int              `json:"minimum,omitempty"` // fewer selected tags fail the mapping
}

// MaxSelections bounds the selections of a stream.
const MaxSelections = 1000

// afterStep has, for each step, the words about the tags that are left after it.
var afterStep = map[string]string{
	selection.StepPattern:    "%d match the pattern",
	selection.StepCompanions: "%d without those of signatures",
	selection.StepInclude:    "%d after include",
	selection.StepExclude:    "%d after exclude",
	selection.StepSemver:     "%d after semver",
	selection.StepNewest:     "%d newest",
}

// Attrition tells how many tags are left after each step, and which are selected: "412 tags, 40
// after include, 5 newest: v1.9, v1.8, v1.7, v1.6 and v1.5".
func (s *Selection) Attrition() string {
	words := []string{text.Count(s.Listed, "tag")}
	for _, step := range s.Steps {
		words = append(words, fmt.Sprintf(afterStep[step.Name], step.Left))
	}
	line := strings.Join(words, ", ")
	if len(s.Newest) > 0 {
		line += ": " + strings.Join(s.Newest, ", ")
		if more := s.Selected - len(s.Newest); more > 0 {
			line += fmt.Sprintf(" and %d more", more)
		}
	}
	return line
}

// checkSelection fails unless a selection is as short as people can read, and its numbers agree.
func checkSelection(s Selection) error {
	left := s.Listed
	for _, step := range s.Steps {
		if _, known := afterStep[step.Name]; !known {
			return fmt.Errorf("the selection of %.80q has the unknown step %.40q", s.Source, step.Name)
		}
		if step.Left > left || step.Left < 0 || len(step.Out) > selection.MaxOut {
			return fmt.Errorf("the selection of %.80q has a step that leaves %d of %d tags, and names %d", s.Source, step.Left, left, len(step.Out))
		}
		left = step.Left
	}
	if left != s.Selected || len(s.Newest) > min(s.Selected, selection.MaxShown) || len(s.Steps) > selection.MaxSteps || s.Minimum < 0 || s.Line < 0 {
		return fmt.Errorf("the selection of %.80q has %d tags and names %d, and its %d steps leave %d", s.Source, s.Selected, len(s.Newest), len(s.Steps), left)
	}
	return nil
}
