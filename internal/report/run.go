package report

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"imagemirror/internal/command"
	"imagemirror/internal/stream"
)

// A Job is one call of the report command.
type Job struct {
	State *Run      // what to read where it is not nil; no Files then
	Files []string  // plans and results, "-" being Stdin; Stdin alone where there is none
	Out   string    // directory for report.json, report.md and junit.xml, or ""
	Tar   io.Writer // where it is not nil it takes the files as a tar archive, and nothing else is done: no table, no verdict
	Stdin io.Reader
	Table io.Writer // for people
}

// Run reads the streams, writes the report and gives the verdict: nil where every mapping is well. Input that it
// refuses, and an Out that it cannot write into, is an error of command.Refuse.
func (j Job) Run() error {
	if j.State == nil && len(j.Files) == 0 && terminal(j.Stdin) {
		return command.Refuse(errors.New("nothing to read: pipe copy or split into report, or name files of results"))
	}
	var out directory
	if j.Out != "" {
		var err error
		if out, err = openDirectory(j.Out); err != nil {
			return command.Refuse(err)
		}
	}
	r, err := j.judge()
	if err != nil && j.State != nil {
		return errors.Join(err, j.State.Summarize(err.Error()))
	}
	if err != nil {
		return err
	}
	if j.Tar != nil {
		return r.archive(j.Tar)
	}
	err = errors.Join(r.write(out), r.writeTable(j.Table))
	if j.State != nil {
		err = errors.Join(err, j.State.keep(context.Background(), r))
	}
	if err != nil {
		return err
	}
	return r.Err()
}

// judge reads the streams. Its error names all that are refused.
func (j Job) judge() (*Report, error) {
	if j.State != nil {
		return j.State.gather(context.Background())
	}
	files := j.Files
	if len(files) == 0 {
		files = []string{"-"}
	}
	g := newGathering()
	var refused []error
	for _, name := range files {
		refused = append(refused, j.read(g, name))
	}
	if err := errors.Join(refused...); err != nil {
		return nil, command.Refuse(err)
	}
	return g.judge(), nil
}

func terminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (j Job) read(g *gathering, name string) error {
	in, from := j.Stdin, "standard input"
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("reading results: %w", err)
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil && info.IsDir() {
			return fmt.Errorf("reading results: %q is a directory: name the files in it", name)
		}
		in, from = f, name
	}
	c, err := stream.Skim(in, from)
	if err != nil {
		return err
	}
	return g.add(c)
}
