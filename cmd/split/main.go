// Command split reads the mapping files of image sets, asks the registries what is there, and writes a plan of what has
// to move. With -check it only says what is wrong with the files.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"syscall"

	"imagemirror/internal/command"
	"imagemirror/internal/credentials"
	"imagemirror/internal/credentials/cloud"
	"imagemirror/internal/imageset"
	"imagemirror/internal/plan"
	"imagemirror/internal/registry"
	"imagemirror/internal/stream"
)

type config struct {
	registry.Config
	command.Log
	ForeignLayers bool    `split_words:"true" default:"false" desc:"copy layers that are not for redistribution, too"`
	Cap           int     `default:"0" desc:"requests in flight to one registry by all shards together; 0: MIRROR_CONCURRENCY by each"`
	CapRate       float64 `split_words:"true" default:"0" desc:"requests a second to one registry by all shards together; 0: MIRROR_RATE by each"`

	check  bool
	out    string
	shards int
}

func main() {
	var c config
	cmd := command.Command{
		Name:     "split",
		Synopsis: "[-check] [-shards N] [-out DIR] PATH...",
		About: "Makes the plan of a run: what of the image sets has to be copied. PATH is a mapping file,\n" +
			"an image-set directory (its mapping_* files, with OWNERS beside them), or - for standard input.\n" +
			"The plan goes to standard output, for copy, or for report as a dry run.",
		Flags: &flag.FlagSet{},
		Env:   &c,
	}
	cmd.Flags.BoolVar(&c.check, "check", false, "only say what is wrong with the mapping files; no registry is asked")
	cmd.Flags.StringVar(&c.out, "out", "", "write `DIR`/shards/NAME.jsonl and DIR/settled.jsonl instead of one stream")
	cmd.Flags.IntVar(&c.shards, "shards", 1, "with -out, cut the plan into at most `N` shards")
	err := cmd.Parse(os.Args[1:])
	if err == nil {
		err = c.run(cmd)
	}
	os.Exit(cmd.Exit(err))
}

func (c *config) run(cmd command.Command) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	signal.Ignore(syscall.SIGPIPE) // where the next command has gone, that is an error to say
	context.AfterFunc(ctx, stop)   // a second Ctrl-C ends the program at once
	log, err := c.Logger(os.Stderr)
	if err != nil {
		return command.Refuse(err)
	}
	slog.SetDefault(log) // what libraries log has the same form
	input, err := imageset.Load(cmd.Flags.Args(), os.Stdin)
	for _, w := range input.Warnings {
		cmd.Warn(w)
	}
	if err != nil {
		return command.Refuse(err)
	}
	if c.check {
		log.Info("checked", "sets", len(input.Sets), "mappings", input.Mappings(), "warnings", len(input.Warnings))
		return nil
	}
	options, to, err := c.options()
	if err != nil {
		return refuse(err)
	}
	totals, err := plan.Make(ctx, options, input.Sets, to)
	if err != nil && !errors.Is(err, plan.ErrInterrupted) {
		return fmt.Errorf("writing the plan to %s: %w", cmp.Or(c.out, "standard output"), err)
	}
	log.Info("planned", "mappings", totals.Mappings, "current", totals.Current, "copies", totals.Copies, "failed", totals.Failed, "bytes", totals.Bytes)
	if c.out != "" {
		log.Info("cut", "shards", totals.Shards, "duplicated", totals.Duplicated)
	}
	return err
}

// refuse refuses what cannot be begun. That there is no room for the output is not the input's fault.
func refuse(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return err
	}
	return command.Refuse(err)
}

// options are what plan needs, from the flags and the environment.
func (c *config) options() (o plan.Options, to plan.Writer, err error) {
	if c.shards != 1 && c.out == "" {
		return o, nil, fmt.Errorf("-shards needs -out: name the directory that the shards go to")
	}
	if c.Cap < 0 {
		return o, nil, fmt.Errorf("MIRROR_CAP is %d: give a number of requests in flight, or 0", c.Cap)
	}
	if !(c.CapRate >= 0) || math.IsInf(c.CapRate, 1) {
		return o, nil, fmt.Errorf("MIRROR_CAP_RATE is %g: give a number of requests a second, or 0", c.CapRate)
	}
	keys, err := credentials.Load(os.Getenv, cloud.Keychains()...)
	if err != nil {
		return o, nil, err
	}
	client, err := registry.New(c.Config, keys)
	if err != nil {
		return o, nil, err
	}
	client.Keep(c.Cap, c.CapRate)
	o = plan.Options{Client: client, Foreign: c.ForeignLayers, Cap: stream.Cap{InFlight: c.Cap, Rate: c.CapRate}}
	if c.out == "" {
		return o, plan.ToStream(os.Stdout), nil
	}
	to, err = plan.ToDirectory(c.out, c.shards)
	return o, to, err
}
