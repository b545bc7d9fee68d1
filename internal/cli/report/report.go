// Package report is the command report: it tells people and systems what became of a run. It reads what
// copy wrote, or what split planned, and gives the verdict. It is the one command whose exit status
// says whether every image is where it should be.
package report

import (
	"context"
	"errors"
	"os"

	"imagemirror/internal/command"
	"imagemirror/internal/report"
	"imagemirror/internal/state"
)

const about = `Reads the results that copy wrote, from files or standard input, and shows what was
copied, what failed and why, and whose it is. The plan that the results came from may be
named too: then a mapping that has no result at all has failed. A plan alone is a dry run:

  split PATH | report

With MIRROR_STATE it reads all of the run there, and keeps its files there, too.

Exit status: 0 all is well, 1 some mapping failed or has no result, 2 the input was refused.`

type config struct {
	state.Place
	command.Results
	report.Waiting

	out string
}

// Command returns the command report.
func Command() *command.Command {
	var c config
	cmd := &command.Command{
		Name:     "report",
		Synopsis: "[-out DIR] [RESULTS...]",
		About:    about,
		Env:      &c,
		Run:      c.run,
		// On Ctrl-C in a pipe all three commands get the signal. Split and copy end on it, and report reads
		// on to their end: what they still have to say is what it is for.
		IgnoreInterrupt: true,
	}
	cmd.Flags.StringVar(&c.out, "out", "", "write report.json, report.md and junit.xml into `DIR` too; with - for DIR, do nothing but write them to standard output as a tar archive")
	return cmd
}

func (c *config) run(_ context.Context, files []string) (err error) {
	job := report.Job{Files: files, Out: c.out, Stdin: os.Stdin, Table: os.Stdout}
	if c.out == "-" {
		job.Out, job.Tar = "", os.Stdout
	}
	if job.State, err = c.open(files); err != nil {
		return command.Refuse(err)
	}
	return job.Run()
}

// open opens the state, where there is one, and otherwise looks at the names of the files.
func (c *config) open(files []string) (*report.Run, error) {
	switch {
	case !c.Asked():
		return nil, command.Files(files, "settled.jsonl", "shards/*.jsonl")
	case len(files) > 0:
		return nil, errors.New("with MIRROR_STATE all is read there: name no files")
	}
	run, err := c.Open()
	return &report.Run{Run: run, Waiting: c.Waiting, Results: c.Results}, err
}
