// Package split is the command split: it reads the mapping files of image sets, asks the
// registries which images are current, and writes a plan of what has to move. With -check it
// lists the mistakes in the files instead.
package split

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"syscall"

	"github.com/kelseyhightower/envconfig"

	"imagemirror/internal/bounds"
	"imagemirror/internal/cli/planning"
	"imagemirror/internal/cli/registries"
	"imagemirror/internal/command"
	"imagemirror/internal/finding"
	"imagemirror/internal/plan"
	"imagemirror/internal/quantity"
	"imagemirror/internal/record"
	"imagemirror/internal/state"
	"imagemirror/internal/stream"
)

type config struct {
	registries.Env
	Cap       int            `default:"0" desc:"requests in flight per registry, of all shards together; 0 is MIRROR_CONCURRENCY each"`
	CapRate   float64        `split_words:"true" default:"0" desc:"requests per second and registry, of all shards together; 0 is MIRROR_RATE each"`
	Bandwidth quantity.Bytes `desc:"bytes of blobs that all shards together read per second, such as 50Mi; no limit if unset"`
	plan.Limits
	record.Config
	state.Location
	command.TaskResults
	DryRun bool `split_words:"true" default:"false" desc:"with MIRROR_STATE: plan for report, and name no shard in the result shards"`

	check  bool
	online bool
	format string
	out    string
	shards int
	warn   func(string)
}

const aboutPlan = `Plans what has to be copied for image sets. PATH is a mapping file, an image-set directory
(its mapping_* files, with OWNERS beside them), a directory of image sets, or - for standard
input. The plan goes to standard output, for copy or, as a dry run, for report. With MIRROR_STATE
it goes there.`

const aboutCheck = `Lists the mistakes in image sets, each with its file and line. PATH is a mapping file, an
image-set directory (its mapping_* files, with OWNERS beside them), a directory of image sets,
or - for standard input. It asks registries only with -online.

Exit status: 0 no mistakes, 1 the check could not be completed, 2 there are mistakes.`

// Command returns the step command split, which plans and, with -check, checks.
func Command() *command.Command {
	c, cmd := newCommand("split", "[-check [-online] [-format FORM]] [-shards N] [-out DIR] PATH...", aboutPlan)
	cmd.Flags.BoolVar(&c.check, "check", false, "list mistakes in image sets instead of planning; asks no registry")
	c.addCheckFlags(&cmd.Flags, "with -check, ")
	c.addPlanFlags(&cmd.Flags)
	return cmd
}

// PlanCommand returns the command that makes a plan, for people.
func PlanCommand() *command.Command {
	c, cmd := newCommand("plan", "[-shards N] [-out DIR] PATH...", aboutPlan)
	c.addPlanFlags(&cmd.Flags)
	return cmd
}

// CheckCommand returns the command that lists mistakes in image sets, for people.
func CheckCommand() *command.Command {
	c, cmd := newCommand("check", "[-online] [-format FORM] PATH...", aboutCheck)
	c.check = true
	cmd.Env = &c.ClientEnv
	c.addCheckFlags(&cmd.Flags, "")
	return cmd
}

func newCommand(name, synopsis, about string) (*config, *command.Command) {
	c := &config{format: finding.Text, shards: 1}
	cmd := &command.Command{Name: name, Synopsis: synopsis, About: about, Env: c, Run: c.run, Refused: c.keepRefusal}
	c.warn = cmd.Warn
	return c, cmd
}

func (c *config) addCheckFlags(flags *flag.FlagSet, when string) {
	flags.BoolVar(&c.online, "online", false, when+"also ask the registries whether sources exist, immutable tags would move, and tags would be taken over; reads only")
	flags.StringVar(&c.format, "format", finding.Text, when+"also write the findings to standard output in a `FORM` for CI systems: github, sarif or junit; text writes none")
}

func (c *config) addPlanFlags(flags *flag.FlagSet) {
	flags.StringVar(&c.out, "out", "", "write `DIR`/shards/NAME.jsonl and DIR/settled.jsonl instead of one stream")
	flags.StringVar(&c.Directory, "record", "", "read in `DIR` what earlier runs recorded of each image set")
	flags.Var((*command.Whole)(&c.shards), "shards", "with -out or MIRROR_STATE, cut the plan into at most `N` shards")
}

func (c *config) run(ctx context.Context, paths []string) error {
	if err := c.checkFlags(); err != nil {
		return c.keepRefusal(ctx, command.Refuse(err))
	}
	switch {
	case c.check:
		return c.checkSets(ctx, paths)
	case c.Asked():
		return c.keep(ctx, paths, nil)
	}
	return c.split(ctx, paths, nil)
}

// keepRefusal writes the reason why there is no plan into the state, if one is asked for.
func (c *config) keepRefusal(ctx context.Context, reason error) error {
	_ = envconfig.Process(command.Prefix, &c.Location) // even if other variables are wrong
	if c.check || !c.Asked() {
		return reason
	}
	return c.keep(ctx, nil, reason)
}

// keep plans into the state, unless the input is refused already, and writes there why there is no
// plan.
func (c *config) keep(ctx context.Context, paths []string, refused error) error {
	last := context.WithoutCancel(ctx) // a run that was told to stop still writes its state
	run, err := c.Open()
	if err == nil {
		err = run.Begin(last)
	}
	if err != nil {
		return errors.Join(refused, refuseStart(err))
	}
	if err = refused; err == nil {
		err = c.split(ctx, paths, run)
	}
	if err == nil || errors.Is(err, plan.ErrInterrupted) {
		return err
	}
	return errors.Join(err, run.Refuse(last, err))
}

// split makes the plan. If run is not nil, the plan goes into its state.
func (c *config) split(ctx context.Context, paths []string, run *state.Run) error {
	sets, warnings, err := planning.Load(paths, c.warn)
	if err != nil {
		return command.Refuse(err)
	}
	options, err := c.options()
	if err != nil {
		return refuseStart(err)
	}
	options.Warnings = warnings
	out, err := c.output(ctx, run)
	if err != nil {
		return refuseStart(err)
	}
	collectOften()
	p, summarize, interrupted := planning.Make(ctx, options, sets)
	command.ReleaseMemory() // so that writing takes no more than planning did
	shards, err := out.write(p)
	if err != nil {
		return fmt.Errorf("writing the plan to %s: %w", out.name, err)
	}
	summarize()
	if out.cut {
		slog.Info("cut", "shards", len(shards.Shards), "duplicated", shards.Duplicated)
	}
	if run == nil {
		return interrupted
	}
	sentence := fmt.Sprintf("%d mappings: %d to copy in %d shards, %d current, %d failed",
		len(p.Mappings), len(p.Copies), len(shards.Shards), p.Count(stream.Current), p.Count(stream.Failed))
	return errors.Join(interrupted, c.writeResults(shards.Names(), sentence))
}

// collectOften lets the heap grow by a tenth, not to twice its size, before garbage is collected.
// Nearly all of the heap of a large plan is its archive, which has few pointers, so that collecting
// is cheap: it takes about a quarter more CPU time, and a third less memory.
func collectOften() {
	if os.Getenv("GOGC") == "" {
		command.CollectLate(10, debug.SetMemoryLimit(-1))
	}
}

// writeResults writes the results of the Tekton Task.
func (c *config) writeResults(shards []string, sentence string) error {
	if c.DryRun {
		shards, sentence = []string{}, "dry run, "+sentence
	}
	names, err := json.Marshal(shards)
	return errors.Join(err, c.Write("shards", string(names)), c.Summarize(sentence))
}

// refuseStart refuses the input because of err, which came before anything was done. A full
// disk, or a limit on the size of files, is not the input's fault.
func refuseStart(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) {
		return err
	}
	return command.Refuse(err)
}

// options returns the options of a plan, from the environment.
func (c *config) options() (o plan.Options, err error) {
	if c.Cap < 0 {
		return o, fmt.Errorf("MIRROR_CAP is %d: give a number of requests in flight, or 0", c.Cap)
	}
	if !(c.CapRate >= 0) || math.IsInf(c.CapRate, 1) {
		return o, fmt.Errorf("MIRROR_CAP_RATE is %g: give a number of requests a second, or 0", c.CapRate)
	}
	if err := c.Limits.Check(); err != nil {
		return o, err
	}
	connect := c.Client
	if c.check {
		connect = c.PullClient
	}
	client, err := connect()
	if err != nil {
		return o, err
	}
	client.Keep(c.Cap, c.CapRate)
	c.Config.Namespace = c.Location.Namespace
	return plan.Options{
		Client: client, Foreign: c.ForeignLayers, Cap: stream.Cap{InFlight: c.Cap, Rate: c.CapRate, Bandwidth: int64(c.Bandwidth)}, Limits: c.Limits, Recall: c.Recaller(),
	}, nil
}

// A planOutput is where a plan goes.
type planOutput struct {
	name  string // for people
	cut   bool   // into shards
	write func(*plan.Plan) (plan.Parts, error)
}

// output returns where the plan goes. It fails, before any registry is asked, if the plan cannot go
// there.
func (c *config) output(ctx context.Context, run *state.Run) (planOutput, error) {
	ctx = context.WithoutCancel(ctx) // an interrupted plan is written all the same
	switch {
	case run != nil && c.out != "":
		return planOutput{}, errors.New("-out and MIRROR_STATE exclude each other: remove one")
	case run != nil:
		return c.cutting("the run "+run.Name(), func(parts []*stream.Content) error { return run.PutPlan(ctx, parts, c.DryRun) })
	case c.DryRun:
		return planOutput{}, errors.New("MIRROR_DRY_RUN needs MIRROR_STATE: without it, split PATH | report is the dry run")
	case c.out != "":
		to, err := c.cutting(c.out, func(parts []*stream.Content) error { return plan.WriteDirectory(c.out, parts) })
		if err != nil {
			return to, err
		}
		if err := plan.PrepareDirectory(c.out); err != nil {
			return to, fmt.Errorf("-out: %w", err)
		}
		return to, nil
	case c.shards != 1:
		return planOutput{}, errors.New("-shards needs -out: name the directory that the shards go to")
	}
	return planOutput{name: "standard output", write: func(p *plan.Plan) (plan.Parts, error) {
		_, err := stream.Write(os.Stdout, &p.Content)
		return plan.Parts{}, err
	}}, nil
}

// cutting returns an output that cuts the plan and writes the parts.
func (c *config) cutting(name string, write func([]*stream.Content) error) (planOutput, error) {
	if c.shards < 1 || c.shards > bounds.Shards {
		return planOutput{}, fmt.Errorf("-shards is %d: give a number from 1 to %d", c.shards, bounds.Shards)
	}
	return planOutput{name: name, cut: true, write: func(p *plan.Plan) (plan.Parts, error) {
		cut := p.Cut(c.shards)
		return cut, write(cut.All())
	}}, nil
}
