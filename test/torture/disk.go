package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// blocks are how many blocks of 512 bytes a file may have: each output has more.
var blocks = []int{0, 1, 6, 12}

// A diskCase is a command that writes to a disk.
type diskCase struct {
	name    string
	command func(in func(string) string) []string
	output  string // file that standard output goes to
	state   bool   // the plan and results are in a state
	kept    string // a file or a directory of an earlier run, which has to stay as it is
}

var diskCases = []diskCase{
	{name: "split >FILE", output: "other", command: func(in func(string) string) []string { return []string{"split", in("mapping_torture")} }},
	{name: "split -out", kept: "plan", command: func(in func(string) string) []string {
		return []string{"split", "-out", in("plan"), in("mapping_torture")}
	}},
	{name: "split to a state", state: true, command: func(in func(string) string) []string { return []string{"split", in("mapping_torture")} }},
	{name: "copy >FILE", output: "other", command: func(in func(string) string) []string { return []string{"copy", in("split.out")} }},
	{name: "copy -out", command: func(in func(string) string) []string {
		return []string{"copy", "-out", in("other"), in("split.out")}
	}},
	{name: "copy from a state", state: true, command: func(func(string) string) []string { return []string{"copy", "s0"} }},
	{name: "report -out", kept: "report", command: func(in func(string) string) []string {
		return []string{"report", "-out", in("report"), in("split.out"), in("results")}
	}},
	{name: "report of a state", state: true, command: func(func(string) string) []string { return []string{"report"} }},
	{name: "imagemirror run -out", kept: "report", command: func(in func(string) string) []string {
		return []string{"run", "-out", in("report"), in("mapping_torture")}
	}},
}

var diskPart = trial{
	name: "Full disk", cases: []string{"files of a few blocks"},
	columns: fmt.Sprintf("A file may have %v blocks of 512 bytes. What an earlier run left has to stay whole, and the next run has to do all of it.\n\n", blocks) +
		"| command | exit statuses | what it said last |\n| :-- | :-- | :-- |",
	run: (*torturer).disk,
}

// disk runs each command on disks that are full after a few blocks.
func (t *torturer) disk(ctx context.Context, _ string) error {
	destination := listen(nothingThere{})
	lines := addHost(nil, destination, "h", &hostile{}, func(*hostile) {}, nil)
	work, _, err := t.work(lines)
	if err != nil {
		return err
	}
	in := func(name string) string { return filepath.Join(work, name) }
	env := func(run string) []string {
		return []string{"MIRROR_STATE=" + in("state"), "MIRROR_RUN=" + run, "MIRROR_GRACE=0s"}
	}
	for _, j := range []job{
		{command: []string{"split", in("mapping_torture")}, output: in("split.out")},
		{command: []string{"split", "-out", in("plan"), in("mapping_torture")}},
		{command: []string{"copy", "-out", in("results"), in("split.out")}},
		{command: []string{"report", "-out", in("report"), in("split.out"), in("results")}, output: os.DevNull},
	} {
		if o, err := t.run(ctx, j); err != nil || o.status != 0 {
			return fmt.Errorf("%q: %s (%w)", j.command, o.end(), err)
		}
	}
	for i, c := range diskCases {
		if err := t.diskCase(ctx, c, in, func(n int) []string {
			if !c.state {
				return nil
			}
			return env(fmt.Sprintf("r%d-%d", i, n))
		}); err != nil {
			return err
		}
	}
	return nil
}

// diskCase runs one command with each limit, and then without one.
func (t *torturer) diskCase(ctx context.Context, c diskCase, in func(string) string, env func(int) []string) error {
	before, err := snapshot(in(c.kept))
	if err != nil {
		return err
	}
	var statuses []string
	said := ""
	for n, limit := range append(slices.Clone(blocks), -1) {
		if err := t.before(ctx, c, in, env(n)); err != nil {
			return err
		}
		j := job{command: c.command(in), env: env(n), blocks: limit + 1, output: os.DevNull}
		if c.output != "" {
			j.output = in(c.output)
		}
		o, err := t.run(ctx, j)
		if err != nil {
			return err
		}
		statuses = append(statuses, fmt.Sprint(o.status))
		after, err := snapshot(in(c.kept))
		full := limit >= 0
		switch {
		case err != nil:
			return err
		case o.crashed() || full && o.status == 0 || !full && o.status != 0:
			t.fail("%q with %d blocks: exit status %d: %s", j.command, limit, o.status, o.end())
		case full && c.kept != "" && !bytes.Equal(before, after):
			t.fail("%q with %d blocks has changed %s", j.command, limit, c.kept)
		}
		if full {
			said = strings.TrimSpace(o.said)
		}
	}
	t.row(c.name, strings.Join(statuses, " "), strings.ReplaceAll(said[strings.LastIndex(said, "\n")+1:], t.dir, "DIR"))
	return nil
}

// before does what the commands before one with a state do.
func (t *torturer) before(ctx context.Context, c diskCase, in func(string) string, env []string) error {
	var errs []error
	for _, command := range [][]string{{"split", in("mapping_torture")}, {"copy", "s0"}} {
		if !c.state || command[0] == c.command(in)[0] {
			break
		}
		o, err := t.run(ctx, job{command: command, env: env})
		if o.status != 0 {
			err = fmt.Errorf("%q: %s", command, o.end())
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// snapshot returns the content of a file, or of all files of a directory.
func snapshot(dir string) (all []byte, err error) {
	return all, filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		all = append(append(all, path...), content...)
		return err
	})
}
