package report

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"imagemirror/internal/report"
	"imagemirror/internal/state"
	"imagemirror/internal/stream"
)

// pollInterval is how often the state is asked for what is missing.
const pollInterval = time.Second

// reportRun reports on a run whose streams are in the state, where it keeps the report's files too.
func (c *config) reportRun(ctx context.Context, run *state.Run, out report.Output) error {
	p := poller{Run: run, until: time.Now().Add(c.Grace), splitStatus: c.SplitStatus, splitReason: c.SplitReason}
	r, err := p.build(ctx)
	if err != nil {
		return errors.Join(err, c.Summarize(err.Error()))
	}
	c.lock(ctx, r, run, out)
	verdict := c.write(r, out)
	if c.out == archive {
		return verdict
	}
	err = errors.Join(verdict, c.keep(ctx, run, r))
	c.keepRecord(ctx, r, out)
	return err
}

// keep puts the report's files into the state, and writes the result of the Tekton Task.
func (c *config) keep(ctx context.Context, run *state.Run, r *report.Report) error {
	var errs []error
	for _, file := range r.Files() {
		errs = append(errs, run.PutReport(ctx, file.Name, file.Write))
	}
	headline := r.Headline()
	if r.Err() == nil {
		slog.Info(headline) // otherwise it is the last line on standard error
	}
	return errors.Join(append(errs, c.Summarize(headline))...)
}

// A poller builds the report of a run from its state. Pods may be dying, or may never have
// started: it waits for what is missing until the grace time is over.
type poller struct {
	*state.Run
	until                    time.Time
	splitStatus, splitReason string // of split's task, if they are known
}

func (p *poller) build(ctx context.Context) (*report.Report, error) {
	outline, reasons, err := p.plan(ctx)
	if err != nil {
		return nil, err
	}
	if outline == nil {
		return report.NoPlan(reasons...), nil
	}
	b := report.NewBuilder()
	if err := p.judgeSplit(ctx, b); err != nil {
		return nil, err
	}
	settled, err := p.Settled(ctx, outline)
	if err != nil {
		return nil, err
	}
	for _, plan := range slices.Concat([]*stream.Content{settled}, outline.Shards) {
		if err := b.Add(plan); err != nil {
			return nil, err
		}
	}
	if !outline.DryRun {
		b.MarkExecuted()
	}
	for i := range outline.Shards {
		if err := p.addAttempts(ctx, b, outline, i); err != nil {
			return nil, err
		}
	}
	return b.Report(), nil
}

// judgeSplit notes that split failed, although there is a plan: then no copy was started, and the
// plan may be another program's.
func (p *poller) judgeSplit(ctx context.Context, b *report.Builder) error {
	if p.splitStatus != "" && p.splitStatus != "Succeeded" {
		p.until = time.Now()
		b.AddProblem(fmt.Sprintf("split did not succeed (%s)", cmp.Or(p.splitReason, p.splitStatus)))
	}
	reasons, err := p.Refusal(ctx)
	if errors.Is(err, state.ErrNotThere) {
		return nil
	}
	for _, reason := range reasons {
		b.AddProblem("split: " + reason)
	}
	return err
}

// plan waits until split has left a plan, or the reasons why there is none.
func (p *poller) plan(ctx context.Context) (outline *state.Outline, reasons []string, err error) {
	for {
		if outline, err = p.Outline(ctx); !errors.Is(err, state.ErrNotThere) {
			return outline, nil, err
		}
		if reasons, err = p.Refusal(ctx); !errors.Is(err, state.ErrNotThere) {
			for i := range reasons {
				reasons[i] = "split: " + reasons[i]
			}
			return nil, reasons, err
		}
		if !p.pause(ctx) {
			reason, err := p.silence(ctx)
			return nil, []string{reason}, err
		}
	}
}

// silence returns why split left neither a plan nor a refusal, as far as that is known.
func (p *poller) silence(ctx context.Context) (string, error) {
	begun, err := p.Begun(ctx)
	if err != nil {
		return "", err
	}
	why := cmp.Or(p.splitReason, p.splitStatus, "its task's status is not known")
	if begun {
		return fmt.Sprintf("split was ended before it had a plan (%s)", why), nil
	}
	return fmt.Sprintf("split never started (%s): if its pod was waiting, a secret or a ConfigMap that it names may not exist", why), nil
}

// pause waits a little. It returns false, at once, if the grace time is over or ctx has ended.
func (p *poller) pause(ctx context.Context) bool {
	left := time.Until(p.until)
	if left <= 0 {
		return false
	}
	select {
	case <-time.After(min(left, pollInterval)):
		return true
	case <-ctx.Done():
		return false
	}
}

// addAttempts adds what the attempts of a shard left, after waiting for the last one.
func (p *poller) addAttempts(ctx context.Context, b *report.Builder, outline *state.Outline, index int) error {
	shard := outline.Shards[index]
	attempts := p.Attempts(ctx, shard)
	for !outline.DryRun && !finished(attempts) && p.pause(ctx) {
		attempts = p.Attempts(ctx, shard)
	}
	switch err := p.Check(ctx, outline, index); {
	case err != nil && len(attempts) == 0 && !outline.DryRun && !errors.Is(err, state.ErrForeign):
		b.AddUnreadable(err) // its copy had nothing to read: its mappings have failed
	case err != nil:
		b.AddProblem(err.Error())
	}
	// The last one first: of two equal failures of one mapping, the first one added counts.
	for _, a := range slices.Backward(attempts) {
		switch {
		case errors.Is(a.Err, state.ErrForeign):
			b.AddProblem(a.Err.Error())
		case a.Err != nil:
			b.AddUnreadable(a.Err)
		default:
			if err := b.Add(a.Results); err != nil {
				return err
			}
		}
	}
	return nil
}

// finished reports whether no other attempt can follow: the last one went to its end, or there
// may be no more.
func finished(attempts []state.Attempt) bool {
	if len(attempts) == 0 {
		return false
	}
	last := attempts[len(attempts)-1]
	return last.Last || last.Err == nil && last.Results.End != nil && !last.Results.End.Interrupted
}
