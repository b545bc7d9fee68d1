package plan

import (
	"context"
	"fmt"

	"imagemirror/internal/imageset"
)

// Wanted returns the destinations that the mappings of the sets name now, with the tags that their
// wildcards match: it reads lists of tags, and nothing else. It fails if it cannot tell one of
// them, so that nobody mistakes an incomplete list for all that is wanted.
func Wanted(ctx context.Context, o Options, sets []*imageset.Set) ([]string, error) {
	r := newResolver(o)
	targets := r.targets(ctx, sets, func(batch []*target) { r.Progress.note(batch...) })
	if ctx.Err() != nil {
		return nil, ErrInterrupted
	}
	var names []string
	for _, t := range targets {
		if t.err != nil {
			return nil, fmt.Errorf("%s:%d: %w", t.File, t.Line, t.err)
		}
		names = append(names, t.recordedName())
	}
	return names, nil
}
