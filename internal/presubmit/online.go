package presubmit

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"imagemirror/internal/fault"
	"imagemirror/internal/finding"
	"imagemirror/internal/imageset"
	"imagemirror/internal/plan"
	"imagemirror/internal/stream"
)

// Ask asks the registries about the mappings. It returns the sources that are missing or
// unreadable or not signed as is demanded, the immutable tags that would move, and the tags that
// something else seems to publish. It fails only if it is interrupted.
func Ask(ctx context.Context, o plan.Options, input *imageset.Input) (*finding.List, error) {
	var found finding.List
	doubts, err := plan.Probe(ctx, o, input.Sets)
	wildcards := wildcardsOf(input.Sets)
	said := map[string]bool{} // a source is one finding, however many destinations the line has
	for _, d := range doubts {
		f := finding.Finding{Rule: ruleSource, File: d.File, Line: d.Line, Err: withAdvice(d.Err)}
		switch {
		case d.Moves:
			f.Rule = ruleImmutable
		case d.Takes:
			f.Rule, f.Warning = ruleTakeover, true
		case d.Waits:
			f.Err, f.Warning = fmt.Errorf("the source was not checked: %w", f.Err), true
		case stream.ErrorOf(d.Err).Kind == fault.Unverified:
			f.Rule = ruleVerified
			if wildcards[mappingLine{d.File, d.Line}] { // the error has a digest only
				f.Err = fmt.Errorf("%s: %w", d.Source, f.Err)
			}
		}
		if line := f.Rule.ID + " " + f.Error(); !said[line] {
			said[line] = true
			found.Add(f)
		}
	}
	return &found, err
}

// A mappingLine is a line of a mapping file.
type mappingLine struct {
	file string
	line int
}

// wildcardsOf returns the lines whose source is a wildcard.
func wildcardsOf(sets []*imageset.Set) map[mappingLine]bool {
	lines := map[mappingLine]bool{}
	for _, set := range sets {
		for _, m := range set.Mappings {
			if m.Source.Wildcard() {
				lines[mappingLine{m.File, m.Line}] = true
			}
		}
	}
	return lines
}

// withAdvice returns an error of a registry as a line with what to do about it.
func withAdvice(err error) error {
	e := stream.ErrorOf(err)
	if e.Advice == "" || strings.HasSuffix(e.Message, e.Advice) {
		return errors.New(e.Message)
	}
	return errors.New(e.Message + ": " + e.Advice)
}
