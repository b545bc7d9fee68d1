// Package report is the command report: it tells people and systems what became of a run. It
// reads what copy wrote, or what split planned, and gives the verdict. It is the one command
// whose exit status tells whether every image is where it should be.
package report

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"imagemirror/internal/cli/records"
	"imagemirror/internal/command"
	"imagemirror/internal/record"
	"imagemirror/internal/report"
	"imagemirror/internal/state"
	"imagemirror/internal/stream"
)

const about = `Reads the results of copy from files or standard input, and shows what was copied, what
failed and why, and who owns it. Name the plan too, so that a mapping without any result
counts as failed. A plan alone is a dry run:

  split PATH | report

With MIRROR_STATE it reads the whole run from the state, and keeps its files there too.

Exit status: 0 all is well, 1 some mapping failed or has no result, 2 the input was refused.`

type config struct {
	state.Location
	records.Config
	command.TaskResults
	report.Origin
	Grace       time.Duration `default:"30s" desc:"with MIRROR_STATE: how long to wait for results that pods write while they end"`
	SplitStatus string        `split_words:"true" desc:"with MIRROR_STATE: status of split's task: $(tasks.split.status)"`
	SplitReason string        `split_words:"true" desc:"with MIRROR_STATE: reason for that status: $(tasks.split.reason)"`

	out       string
	stdin     io.Reader
	stdout    io.Writer
	warnAbout func(error)
}

// Command returns the command report.
func Command() *command.Command {
	c := config{stdin: os.Stdin, stdout: os.Stdout}
	cmd := &command.Command{
		Name:     "report",
		Synopsis: "[-out DIR] [-record DIR] [RESULTS...]",
		About:    about,
		Env:      &c,
		Run:      c.run,
		// On Ctrl-C in a pipe all three commands get the signal. split and copy end, and report
		// reads everything that they still write: it has to show what was interrupted.
		IgnoreInterrupt: true,
	}
	cmd.Flags.StringVar(&c.out, "out", "", "also write report.json, report.md, junit.xml and images.lock, and with a record metrics.prom, into `DIR`; if DIR is -, write only them, as a tar archive, to standard output")
	cmd.Flags.StringVar(&c.Directory, "record", "", "also update the record of each image set in `DIR`, which outlives runs: what its destinations have and had, and since when they fail")
	c.warnAbout = cmd.WarnAbout
	return cmd
}

// archive is the value of -out that stands for a tar archive on standard output.
const archive = "-"

func (c *config) run(ctx context.Context, files []string) error {
	if err := cmp.Or(c.Origin.Check(), c.Config.Check()); err != nil {
		return command.Refuse(err)
	}
	c.Origin.ID, c.Origin.Version = c.Location.Run, command.Version()
	run, err := c.open(files)
	if err != nil {
		return command.Refuse(err)
	}
	var out report.Output
	if c.out != "" && c.out != archive {
		if out, err = report.OpenOutput(c.out); err != nil {
			return command.Refuse(fmt.Errorf("-out: %w", err))
		}
	}
	if run != nil {
		return c.reportRun(ctx, run, out)
	}
	r, err := c.readFiles(files)
	if err != nil {
		return command.Refuse(err)
	}
	c.lock(ctx, r, nil, out)
	verdict := c.write(r, out)
	c.keepRecord(ctx, r, out)
	return verdict
}

// open opens the state, if one is asked for. Otherwise it checks the files.
func (c *config) open(files []string) (*state.Run, error) {
	switch {
	case c.Asked() && len(files) > 0:
		return nil, errors.New("with MIRROR_STATE, results are read from the state: name no files")
	case c.Asked():
		return c.Open()
	case len(files) == 0 && c.stdinIsTerminal():
		return nil, errors.New("nothing to read: pipe copy or split into report, or name files of results")
	}
	return nil, command.RefuseDirectories(files, "settled.jsonl", "shards/*.jsonl")
}

// write writes the report, and returns its verdict.
func (c *config) write(r *report.Report, out report.Output) error {
	if c.out == archive {
		return r.WriteTar(c.stdout)
	}
	if err := errors.Join(out.Write(r), r.WriteTableWithin(c.stdout, command.Columns(c.stdout))); err != nil {
		return err
	}
	return r.Err()
}

// lock notes where the report comes from, and adds images.lock to its files if they are written. A
// run that has an images.lock already keeps it.
func (c *config) lock(ctx context.Context, r *report.Report, run *state.Run, out report.Output) {
	r.From(c.Origin)
	if c.out == "" && run == nil {
		return
	}
	before, unread := out.Lock()
	if run != nil && c.out != "" {
		err := run.GetReport(ctx, report.LockFile, report.MaxLock, func(in io.Reader) (err error) {
			before, err = report.ReadLock(in)
			return err
		})
		if !errors.Is(err, state.ErrNotThere) {
			unread = err
		}
	}
	c.Config.Namespace = c.Location.Namespace
	if err := errors.Join(unread, c.Lock(context.WithoutCancel(ctx), r, before)); err != nil {
		c.warnAbout(err)
	}
}

// keepRecord updates the records of the run's image sets. One that cannot be updated fails no run.
func (c *config) keepRecord(ctx context.Context, r *report.Report, out report.Output) {
	if c.out == archive {
		return // the report is only read again
	}
	set := ""
	if c.Asked() {
		set = r.Run.Set
	}
	c.Config.Namespace = c.Location.Namespace
	if err := c.Keep(context.WithoutCancel(ctx), record.Updates(r, set, time.Now()), out); err != nil {
		c.warnAbout(err)
	}
}

// readFiles builds the report of files, or of standard input if there are none. Its error has a
// line for each file that is refused.
func (c *config) readFiles(files []string) (*report.Report, error) {
	if len(files) == 0 {
		files = []string{"-"}
	}
	b := report.NewBuilder()
	var refused []error
	for _, name := range files {
		refused = append(refused, c.readFile(b, name))
	}
	if err := errors.Join(refused...); err != nil {
		return nil, err
	}
	return b.Report(), nil
}

func (c *config) readFile(b *report.Builder, name string) error {
	in, from := c.stdin, "standard input"
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("reading results: %w", err)
		}
		defer f.Close()
		in, from = f, name
	}
	content, err := stream.Skim(in, from)
	if err != nil {
		return err
	}
	return b.Add(content)
}

func (c *config) stdinIsTerminal() bool {
	f, ok := c.stdin.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
