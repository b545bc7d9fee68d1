// Package planning makes plans, and shows on standard error how far they are.
package planning

import (
	"context"
	"log/slog"
	"os"

	"imagemirror/internal/imageset"
	"imagemirror/internal/plan"
	"imagemirror/internal/progress"
	"imagemirror/internal/stream"
	"imagemirror/internal/waits"
)

// Make makes a plan as plan.Make does, and shows its progress. The caller calls summarize once the
// plan is where it belongs.
func Make(ctx context.Context, o plan.Options, sets []*imageset.Set) (p *plan.Plan, summarize func(), err error) {
	o.Progress = &plan.Progress{}
	display := progress.NewPlanning(os.Stderr, slog.Default(), o.Progress.Count)
	defer display.Close()
	defer context.AfterFunc(ctx, display.Stopping)()
	p, err = plan.Make(waits.Watch(ctx, display), o, sets)
	return p, func() {
		display.Summarize(progress.Planned{
			Mappings: len(p.Mappings), Current: p.Count(stream.Current), Copies: len(p.Copies), Failed: p.Count(stream.Failed), Bytes: p.Bytes(),
		})
	}, err
}
