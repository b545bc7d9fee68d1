// Package copy is the command copy: it carries out a plan, or shards of one. It brings each
// image to its destination and writes one result for each mapping.
package copy

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"imagemirror/internal/cli/registries"
	"imagemirror/internal/command"
	"imagemirror/internal/execute"
	"imagemirror/internal/mirror"
	"imagemirror/internal/progress"
	"imagemirror/internal/registry"
	"imagemirror/internal/state"
	"imagemirror/internal/stream"
	"imagemirror/internal/text"
)

const about = `Carries out the shards of a plan, or the plan on standard input, and writes one result for each
mapping to standard output, for report. A mapping that fails has a result too, and does not
change the exit status. With MIRROR_STATE a SHARD is a name, such as s0, and plan and results
are in the state.`

type config struct {
	registries.Env
	execute.CopyLimits
	state.Location
	command.TaskResults

	out string
}

// Command returns the command copy.
func Command() *command.Command {
	var c config
	cmd := &command.Command{
		Name:     "copy",
		Synopsis: "[-out FILE] [SHARD...]",
		About:    about,
		Env:      &c,
		Run:      c.run,
		Aside:    true, // the copy engine waits for no log line
	}
	cmd.Flags.StringVar(&c.out, "out", "", "write the results to `FILE` instead of standard output")
	return cmd
}

func (c *config) run(ctx context.Context, shards []string) error {
	if err := c.CopyLimits.Check(); err != nil {
		return command.Refuse(err)
	}
	until, over := c.Until()
	defer over()
	client, err := c.Client()
	if err != nil {
		return command.Refuse(err)
	}
	if c.Asked() {
		return c.fromState(ctx, client, shards, until)
	}
	plan, err := readPlan(shards)
	if err != nil {
		return command.Refuse(err)
	}
	out, err := c.output(shards)
	if err != nil {
		return command.Refuse(err)
	}
	o, done := c.begin(ctx, client, plan, until)
	err = plan.Carry(ctx, o, out)
	done()
	if closed := out.Close(); err == nil {
		err = closed
	}
	return err
}

// begin starts to show the progress of a plan. It returns what the plan is carried out with until
// a context ends, and a function for when that is done.
func (c *config) begin(ctx context.Context, client *registry.Client, plan *execute.Batch, until context.Context) (o mirror.Options, done func()) {
	client.Keep(plan.Cap().InFlight, plan.Cap().Rate)
	images, bytes := plan.Work()
	display := progress.New(os.Stderr, slog.Default(), images, bytes)
	stopped := progress.WhenStopped(ctx, func() { display.Stopping(execute.Grace) })
	done = func() {
		stopped()
		display.Close()
	}
	return mirror.Options{Client: client, Observer: display, Foreign: c.ForeignLayers, Grace: execute.Grace, Until: until, Limit: c.Limit(plan.Cap())}, done
}

// readPlan reads the whole plan before anything is started.
func readPlan(shards []string) (*execute.Batch, error) {
	if err := command.RefuseDirectories(shards, "shards/*.jsonl"); err != nil {
		return nil, err
	}
	var contents []*stream.Content
	if len(shards) == 0 {
		c, err := stream.Read(os.Stdin, "standard input")
		if err != nil {
			return nil, err
		}
		contents = append(contents, c)
	}
	for _, name := range shards {
		c, err := readShard(name)
		if err != nil {
			return nil, err
		}
		contents = append(contents, c)
	}
	return execute.Gather(contents)
}

func readShard(name string) (*stream.Content, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return stream.Read(f, name)
}

// output opens the file of -out, or returns standard output. It refuses a file of the plan:
// results would replace it, and without the plan no second attempt is possible.
func (c *config) output(shards []string) (io.WriteCloser, error) {
	if c.out == "" {
		return os.Stdout, nil
	}
	if info, err := os.Stat(c.out); err == nil && info.Mode().IsRegular() {
		for _, name := range shards {
			if shard, err := os.Stat(name); err == nil && os.SameFile(info, shard) {
				return nil, fmt.Errorf("-out: %s is a shard of the plan: name another file for the results", text.Printable(c.out))
			}
		}
	}
	f, err := os.Create(c.out)
	if err != nil {
		return nil, fmt.Errorf("-out: %w", err)
	}
	return f, nil
}
