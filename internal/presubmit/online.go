package presubmit

import (
	"context"
	"strings"

	"imagemirror/internal/finding"
	"imagemirror/internal/imageset"
	"imagemirror/internal/plan"
	"imagemirror/internal/stream"
)

// Ask says what the registries have against the mappings: sources that are not there or may not be read, and immutable tags that
// would move. Its error is that it was interrupted.
func Ask(ctx context.Context, o plan.Options, input *imageset.Input) ([]finding.Finding, error) {
	n := &notes{}
	doubts, err := plan.Probe(ctx, o, input.Sets)
	said := map[finding.Finding]bool{} // a source is one finding, however many destinations the line has
	for _, d := range doubts {
		rule := ruleSource
		if d.Moves {
			rule = ruleImmutable
		}
		f := finding.Finding{Rule: rule, File: d.File, Line: d.Line, Message: advised(d.Err)}
		if !said[f] {
			said[f] = true
			n.note(f)
		}
	}
	return n.all(), err
}

// advised is an error with what to do about it.
func advised(err error) string {
	e := stream.ErrorOf(err)
	if e.Advice == "" || strings.HasSuffix(e.Message, e.Advice) {
		return e.Message
	}
	return e.Message + ": " + e.Advice
}
