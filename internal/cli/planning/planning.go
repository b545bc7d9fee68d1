// Package planning asks registries about image sets, to plan or to check them, and shows on
// standard error how far that is.
package planning

import (
	"context"
	"log/slog"
	"os"

	"imagemirror/internal/cgroup"
	"imagemirror/internal/finding"
	"imagemirror/internal/imageset"
	"imagemirror/internal/plan"
	"imagemirror/internal/presubmit"
	"imagemirror/internal/progress"
	"imagemirror/internal/stream"
	"imagemirror/internal/waits"
)

// Load reads the image sets that paths name, or standard input for "-", and passes what is
// suspicious in them to warn. It fails if they have mistakes, or need more memory than the
// process may use.
func Load(paths []string, warn func(string)) (sets []*imageset.Set, warnings []string, err error) {
	input, err := imageset.Load(paths, os.Stdin)
	warnings = input.Warnings()
	for _, w := range warnings {
		warn(w)
	}
	if err == nil {
		err = plan.Fit(input.Sets, cgroup.MemoryLimit())
	}
	return input.Sets, warnings, err
}

// Make makes a plan as plan.Make does, and shows its progress. The caller calls summarize once the
// plan is where it belongs.
func Make(ctx context.Context, o plan.Options, sets []*imageset.Set) (p *plan.Plan, summarize func(), err error) {
	ctx, display, done := displayProgress(ctx, "planning", &o)
	defer done()
	p, err = plan.Make(ctx, o, sets)
	return p, func() {
		display.Summarize(progress.Planned{
			Mappings: len(p.Mappings), Current: p.Count(stream.Current), Copies: len(p.Copies), Failed: p.Count(stream.Failed), Bytes: p.Bytes(),
		})
	}, err
}

// Check asks the registries about image sets as presubmit.Ask does, and shows its progress.
func Check(ctx context.Context, o plan.Options, input *imageset.Input) (*finding.List, error) {
	ctx, _, done := displayProgress(ctx, "checking", &o)
	defer done()
	return presubmit.Ask(ctx, o, input)
}

// displayProgress displays the progress of what is done with the context that it returns and the
// options, until done is called.
func displayProgress(ctx context.Context, doing string, o *plan.Options) (watched context.Context, display progress.Planning, done func()) {
	o.Progress = &plan.Progress{}
	display = progress.NewPlanning(os.Stderr, slog.Default(), doing, o.Progress.Count)
	stopped := progress.WhenStopped(ctx, display.Stopping)
	return waits.Watch(ctx, display), display, func() {
		stopped()
		display.Close()
	}
}
