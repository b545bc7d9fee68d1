// Command report tells people and systems what became of a run: it reads what copy wrote, or what split planned, and
// gives the verdict. It is the one command whose exit status says whether every image is where it should be.
package main

import (
	"errors"
	"flag"
	"log/slog"
	"os"
	"os/signal"

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
	command.Log
	state.Place
	command.Results
	report.Waiting
}

func main() {
	// On Ctrl-C in a pipe all three commands get the signal. Split and copy end on it, and what they still have to say
	// is what report is for, so it reads on to their end. SIGTERM is sent to one process: it ends report.
	signal.Ignore(os.Interrupt)
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	var env config
	c := command.Command{
		Name:     "report",
		Synopsis: "[-out DIR] [RESULTS...]",
		About:    about,
		Flags:    &flag.FlagSet{},
		Env:      &env,
	}
	out := c.Flags.String("out", "", "write report.json, report.md and junit.xml into `DIR` too; with - for DIR, do nothing but write them to standard output as a tar archive")
	if err := c.Parse(args); err != nil {
		return c.Exit(err)
	}
	log, err := env.Logger(os.Stderr)
	if err != nil {
		return c.Exit(command.Refuse(err))
	}
	slog.SetDefault(log) // what libraries log has the same form
	job := report.Job{Files: c.Flags.Args(), Out: *out, Stdin: os.Stdin, Table: os.Stdout}
	if *out == "-" {
		job.Out, job.Tar = "", os.Stdout
	}
	if job.State, err = env.open(job.Files); err != nil {
		return c.Exit(command.Refuse(err))
	}
	return c.Exit(job.Run())
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
