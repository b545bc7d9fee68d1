// Package run is the command run: it plans, copies and reports in one process, which asks each
// registry for each thing once and keeps its connections and tokens.
package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"imagemirror/internal/cli/planning"
	"imagemirror/internal/cli/records"
	"imagemirror/internal/cli/registries"
	"imagemirror/internal/command"
	"imagemirror/internal/execute"
	"imagemirror/internal/imageset"
	"imagemirror/internal/mirror"
	"imagemirror/internal/plan"
	"imagemirror/internal/progress"
	"imagemirror/internal/record"
	"imagemirror/internal/report"
	"imagemirror/internal/stream"
)

const about = `Brings every image that the mapping files name to its destinations, and reports what became of it.
PATH is a mapping file, an image-set directory (its mapping_* files, with OWNERS beside them), a
directory of image sets, or - for standard input. An image that is there already is not sent again.

On Ctrl-C it starts nothing new, gives what is under way a few seconds, and reports. A second
Ctrl-C ends it at once.

Exit status: 0 every image is at its destination, 1 some mapping failed, 2 the input was refused.`

type config struct {
	registries.Env
	plan.Limits
	execute.CopyLimits
	report.Origin
	records.Config

	out       string
	dryRun    bool
	warn      func(string)
	warnAbout func(error)
}

// Command returns the command run.
func Command() *command.Command {
	var c config
	cmd := &command.Command{
		Name:     "run",
		Synopsis: "[-dry-run] [-out DIR] [-record DIR] PATH...",
		About:    about,
		Env:      &c,
		Run:      c.run,
		Aside:    true, // the copy engine waits for no log line
	}
	c.warn, c.warnAbout = cmd.Warn, cmd.WarnAbout
	cmd.Flags.BoolVar(&c.dryRun, "dry-run", false, "report what would be copied, and write nothing to a registry")
	cmd.Flags.StringVar(&c.out, "out", "", "write report.json, report.md, junit.xml and images.lock, and with a record metrics.prom, into `DIR` too")
	cmd.Flags.StringVar(&c.Directory, "record", "", "also update the record of each image set in `DIR`, which outlives runs: what its destinations have and had, and since when they fail")
	return cmd
}

func (c *config) run(ctx context.Context, paths []string) error {
	limitHeap()
	sets, warnings, err := planning.Load(paths, c.warn)
	if err != nil {
		return command.Refuse(err)
	}
	if os.Getenv(command.Prefix+"_STATE") != "" {
		c.warn(command.Prefix + "_STATE is ignored: this command keeps no state; split, copy and report do")
	}
	if err := cmp.Or(c.Limits.Check(), c.CopyLimits.Check(), c.Origin.Check(), c.Config.Check()); err != nil {
		return command.Refuse(err)
	}
	client, err := c.Client()
	if err != nil {
		return command.Refuse(err)
	}
	out, err := c.directory()
	if err != nil {
		return command.Refuse(fmt.Errorf("-out: %w", err))
	}
	outcome, err := c.carryOut(ctx, plan.Options{Client: client, Foreign: c.ForeignLayers, Limits: c.Limits, Warnings: warnings, Recall: c.Recaller()}, sets)
	if err != nil {
		return err
	}
	return c.write(ctx, outcome, out)
}

// carryOut plans and copies, or only plans, and returns the streams to report.
func (c *config) carryOut(ctx context.Context, o plan.Options, sets []*imageset.Set) ([]*stream.Content, error) {
	// A plan that was interrupted is whole: what was not resolved has failed in it.
	progress.Announce(os.Stderr, slog.Default(), "planning")
	var start *mirror.HeadStart
	if !c.dryRun {
		start = mirror.NewHeadStart(ctx, o.Client)
		defer start.Close()
		o.Ready = start.Open
	}
	p, summarize, _ := planning.Make(ctx, o, sets)
	summarize()
	if c.dryRun {
		p.End = &stream.End{Ended: time.Now().UTC(), Registries: p.Traffic}
		return []*stream.Content{&p.Content}, nil
	}
	display := progress.New(os.Stderr, slog.Default(), len(p.Copies), p.Bytes())
	defer display.Close()
	if ctx.Err() == nil {
		defer progress.WhenStopped(ctx, func() { display.Stopping(execute.Grace) })()
	}
	work, err := execute.Gather([]*stream.Content{&p.Content})
	if err != nil {
		return nil, err
	}
	until, over := c.Until()
	defer over()
	return []*stream.Content{work.Run(ctx, mirror.Options{
		Client: o.Client, Start: start, Observer: display, Foreign: o.Foreign, Grace: execute.Grace, Until: until, Limit: c.Limit(work.Cap()),
	})}, nil
}

// limitHeap lets garbage be collected more often as the memory comes near to what a run may
// take, which only a plan of thousands of images with large manifests does.
func limitHeap() {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		command.CollectLate(100, min(140<<20, debug.SetMemoryLimit(-1))) // a container may allow less
	}
}

// directory opens the directory of -out, if it is given.
func (c *config) directory() (report.Output, error) {
	switch c.out {
	case "":
		return report.Output{}, nil
	case "-":
		return report.Output{}, errors.New("only report writes an archive to standard output: give a directory")
	}
	return report.OpenOutput(c.out)
}

// write writes the report and returns its verdict.
func (c *config) write(ctx context.Context, streams []*stream.Content, out report.Output) error {
	b := report.NewBuilder()
	for _, s := range streams {
		if err := b.Add(s); err != nil {
			return err
		}
	}
	r := b.Report()
	c.Origin.Version = command.Version()
	r.From(c.Origin)
	if c.out != "" {
		before, unread := out.Lock()
		c.warnAbout(errors.Join(unread, c.Lock(context.WithoutCancel(ctx), r, before)))
	}
	written := errors.Join(out.Write(r), r.WriteTableWithin(os.Stdout, command.Columns(os.Stdout)))
	c.warnAbout(c.Keep(context.WithoutCancel(ctx), record.Updates(r, "", time.Now()), out)) // it fails no run
	return cmp.Or(written, r.Err())
}
