package copy

import (
	"context"
	"errors"

	"imagemirror/internal/command"
	"imagemirror/internal/execute"
	"imagemirror/internal/registry"
	"imagemirror/internal/state"
	"imagemirror/internal/stream"
)

// fromState carries out shards of the state, one after the other, and keeps the results there.
// Each gets a share of the time until a context ends.
func (c *config) fromState(ctx context.Context, client *registry.Client, shards []string, until context.Context) error {
	if c.out != "" || len(shards) == 0 {
		return command.Refuse(errors.New("with MIRROR_STATE, name shards, such as s0, and remove -out"))
	}
	run, err := c.Open()
	if err != nil {
		return command.Refuse(err)
	}
	var plans []*execute.Batch
	for _, name := range shards {
		plan, err := load(ctx, run, name)
		if err != nil {
			return command.Refuse(err)
		}
		client.Keep(plan.Cap().InFlight, plan.Cap().Rate) // before the client is used: the lowest of their caps holds
		plans = append(plans, plan)
	}
	var errs []error
	var tally execute.Tally
	for i, name := range shards {
		// If the first is interrupted, the others still have results: that they were not started.
		share, over := execute.Share(until, len(shards)-i)
		results := c.carry(ctx, client, plans[i], share)
		over()
		if results.End.Interrupted {
			errs = append(errs, execute.ErrInterrupted)
		}
		errs = append(errs, run.PutResults(context.WithoutCancel(ctx), name, results))
		tally.Add(results)
	}
	images, sentence := tally.Say()
	return errors.Join(append(errs, c.Write("IMAGES", images), c.Summarize(sentence))...)
}

// carry carries out a plan until a context ends, shows its progress and returns the results.
func (c *config) carry(ctx context.Context, client *registry.Client, plan *execute.Batch, until context.Context) *stream.Content {
	o, done := c.begin(ctx, client, plan, until)
	defer done()
	return plan.Run(ctx, o)
}

// load returns the plan of a shard. If an earlier attempt carried out a part of it, all of it
// is carried out again: what has arrived is found by mounting it, and costs no bytes.
func load(ctx context.Context, run *state.Run, name string) (*execute.Batch, error) {
	s, err := run.Shard(ctx, name)
	if err != nil {
		return nil, err
	}
	return execute.Gather([]*stream.Content{s})
}
