package report

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"imagemirror/internal/command"
	"imagemirror/internal/state"
	"imagemirror/internal/text"
)

// poll is how often the state is asked for what is missing.
const poll = time.Second

// Waiting is what the environment says about a run whose pods may be dying, or never started.
type Waiting struct {
	Grace       time.Duration `default:"30s" desc:"with MIRROR_STATE: how long to wait for what is missing, as pods write it that are told to stop"`
	SplitStatus string        `split_words:"true" desc:"with MIRROR_STATE: status of split's task, $(tasks.split.status)"`
	SplitReason string        `split_words:"true" desc:"with MIRROR_STATE: reason of that status, $(tasks.split.reason)"`
}

// A Run is a run whose report is made of the state.
type Run struct {
	*state.Run
	Waiting
	command.Results
}

// gather reads the state. It waits for what is missing until the grace time is over.
func (r Run) gather(ctx context.Context) (*Report, error) {
	until := time.Now().Add(r.Grace)
	outline, noPlan, err := r.plan(ctx, until)
	if err != nil {
		return nil, err
	}
	g := newGathering()
	if outline == nil {
		report := g.judge()
		report.Summary.NoPlan = noPlan
		return report, nil
	}
	if r.SplitStatus != "" && r.SplitStatus != "Succeeded" {
		until = time.Now() // no copy was started
	}
	settled, err := r.Settled(ctx)
	if err != nil {
		return nil, err
	}
	if err := g.add(settled); err != nil {
		return nil, err
	}
	for _, s := range outline.Shards {
		if err := g.add(s); err != nil {
			return nil, err
		}
	}
	g.ran = !outline.DryRun
	for _, s := range outline.Shards {
		if err := r.attempts(ctx, g, s.Header.Shard, until); err != nil {
			return nil, err
		}
	}
	return g.judge(), nil
}

// plan waits for split to have said something: a plan, or why there is none.
func (r Run) plan(ctx context.Context, until time.Time) (outline *state.Outline, noPlan []string, err error) {
	for {
		if outline, err = r.Outline(ctx); !errors.Is(err, state.ErrNotThere) {
			return outline, nil, err
		}
		if noPlan, err = r.Refusal(ctx); !errors.Is(err, state.ErrNotThere) {
			return nil, clean(noPlan), err
		}
		if !pause(until) {
			noPlan, err := r.silence(ctx)
			return nil, noPlan, err
		}
	}
}

// maxRefusal bounds the lines of a refusal.
const maxRefusal = 100

func clean(lines []string) []string {
	var all []string
	for _, l := range lines[:min(len(lines), maxRefusal)] {
		all = append(all, "split: "+text.Line(l, maxMessage))
	}
	if n := len(lines) - maxRefusal; n > 0 {
		all = append(all, fmt.Sprintf("split: and %d more", n))
	}
	return all
}

// silence is what is known of a split that said nothing.
func (r Run) silence(ctx context.Context) ([]string, error) {
	begun, err := r.Begun(ctx)
	if err != nil {
		return nil, err
	}
	why := text.Line(cmp.Or(r.SplitReason, r.SplitStatus, "its task's status is not known"), maxName)
	if begun {
		return []string{fmt.Sprintf("split was ended before it had a plan (%s)", why)}, nil
	}
	return []string{fmt.Sprintf("split never started (%s): if its pod was waiting, a secret or a ConfigMap that it names may not exist", why)}, nil
}

// pause waits a little. It is false where the time is over.
func pause(until time.Time) bool {
	left := time.Until(until)
	if left <= 0 {
		return false
	}
	time.Sleep(min(left, poll))
	return true
}

// attempts takes in what the attempts of a shard left, once the last one has.
func (r Run) attempts(ctx context.Context, g *gathering, shard string, until time.Time) error {
	var all []state.Attempt
	for {
		all = r.Attempts(ctx, shard)
		if !g.ran || finished(all) || !pause(until) {
			break
		}
	}
	if g.ran && len(all) == 0 {
		// Its copy may have had nothing to read.
		if _, err := r.Shard(ctx, shard); err != nil {
			g.cuts = append(g.cuts, text.Line(err.Error(), maxMessage))
		}
	}
	// The last one first: of two failures of one mapping that counts which is there already.
	for _, a := range slices.Backward(all) {
		if a.Err != nil {
			g.cuts = append(g.cuts, text.Line(a.Err.Error(), maxMessage))
		} else if err := g.add(a.Results); err != nil {
			return err
		}
	}
	return nil
}

// finished says whether no other attempt can follow: the last one went to its end, or there may be no more.
func finished(all []state.Attempt) bool {
	if len(all) == 0 {
		return false
	}
	last := all[len(all)-1]
	return last.Last || last.Err == nil && last.Results.End != nil && !last.Results.End.Interrupted
}

// keep puts the report's files into the state, and gives a Task's results.
func (r Run) keep(ctx context.Context, report *Report) error {
	var errs []error
	for name, write := range report.files() {
		var content bytes.Buffer
		errs = append(errs, write(&content), r.PutReport(ctx, name, content.Bytes()))
	}
	sentence := report.headline()
	if report.Err() == nil {
		slog.Info(sentence) // otherwise the command says it as it exits
	}
	return errors.Join(append(errs, r.Summarize(sentence))...)
}
