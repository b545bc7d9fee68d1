// Command report tells people and systems what became of a run: it reads what copy wrote, or what split planned, and
// gives the verdict. It is the one command whose exit status says whether every image is where it should be.
package main

import (
	"flag"
	"os"
	"os/signal"

	"imagemirror/internal/command"
	"imagemirror/internal/report"
)

const about = `Reads the results that copy wrote, from files or standard input, and shows what was
copied, what failed and why, and whose it is. The plan that the results came from may be
named too: then a mapping that has no result at all has failed. A plan alone is a dry run:

  split PATH | report

Exit status: 0 all is well, 1 some mapping failed or has no result, 2 the input was refused.`

func main() {
	// On Ctrl-C in a pipe all three commands get the signal. Split and copy end on it, and what they still have to say
	// is what report is for, so it reads on to their end. SIGTERM is sent to one process: it ends report.
	signal.Ignore(os.Interrupt)
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	var log command.Log
	c := command.Command{
		Name:     "report",
		Synopsis: "[-out DIR] [RESULTS...]",
		About:    about,
		Flags:    &flag.FlagSet{},
		Env:      &log,
	}
	out := c.Flags.String("out", "", "write report.json, report.md and junit.xml into `DIR` too")
	if err := c.Parse(args); err != nil {
		return c.Exit(err)
	}
	if _, err := log.Logger(os.Stderr); err != nil {
		return c.Exit(command.Refuse(err))
	}
	if err := command.Files(c.Flags.Args(), "settled.jsonl", "shards/*.jsonl"); err != nil {
		return c.Exit(command.Refuse(err))
	}
	job := report.Job{Files: c.Flags.Args(), Out: *out, Stdin: os.Stdin, Table: os.Stdout}
	return c.Exit(job.Run())
}
