package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"imagemirror/internal/state/statetest"
)

// bound is the resident memory that a command may take, and heapLimit what Go is told in a
// container.
const (
	bound     = 224 << 20
	heapLimit = "GOMEMLIMIT=192MiB"
)

// together is the case of all others at once, each on a host of its own.
const together = "all of these at once, on a host each"

func spacePart() trial {
	var names []string
	for _, c := range space {
		names = append(names, c.name)
	}
	p := trial{
		name: "Space", cases: append(names, together),
		columns: "| case | plan goes to | split | copy | report |\n| :-- | :-- | --: | --: | --: |",
	}
	var registries *spaceRegistries
	p.run = func(t *torturer, ctx context.Context, name string) (err error) {
		if registries == nil {
			if registries, err = startRegistries(ctx); err != nil {
				return err
			}
		}
		lines, err := registries.prepare(name)
		if err != nil {
			return err
		}
		return t.space(ctx, name, lines, registries.kubeconfig)
	}
	return p
}

// spaceRegistries are this program in another process, as the registries and as the API server:
// their memory is not that of a command.
type spaceRegistries struct {
	names      io.Writer
	answers    *json.Decoder
	kubeconfig []byte
}

// startRegistries starts the process, which ends with this one.
func startRegistries(ctx context.Context) (*spaceRegistries, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env, cmd.Stderr = append(os.Environ(), serving+"=1"), os.Stderr
	names, bad := cmd.StdinPipe()
	answers, worse := cmd.StdoutPipe()
	if err := errors.Join(bad, worse, cmd.Start()); err != nil {
		return nil, err
	}
	r := &spaceRegistries{names: names, answers: json.NewDecoder(bufio.NewReader(answers))}
	var url string
	err = r.answers.Decode(&url)
	r.kubeconfig = statetest.Kubeconfig(url)
	return r, err
}

// prepare makes the images of a case, and returns the lines of its mapping file.
func (r *spaceRegistries) prepare(name string) (lines []string, err error) {
	if _, err := fmt.Fprintln(r.names, name); err != nil {
		return nil, err
	}
	return lines, r.answers.Decode(&lines)
}

// A planMode is a way from split to report. Without a copy, split is imagemirror run.
type planMode struct {
	name                string
	env                 []string
	split, copy, report []string
	reported            string // directory of the report
	alike               bool   // the plan is written as in another mode, so that the longest case is left out
}

func modes(work, mapping string) []planMode {
	in := func(name string) string { return filepath.Join(work, name) }
	state := func(env ...string) []string { return append(env, "MIRROR_RUN=torture") }
	shard := in("plan/shards/s0.jsonl")
	return []planMode{
		{"a pipe", nil, []string{"split", mapping}, []string{"copy", "-out", in("results"), in("split.out")},
			[]string{"report", "-out", in("pipe"), in("split.out"), in("results")}, in("pipe"), false},
		{"-out", nil, []string{"split", "-out", in("plan"), mapping}, []string{"copy", "-out", in("results"), shard},
			[]string{"report", "-out", in("files"), in("plan/settled.jsonl"), shard, in("results")}, in("files"), true},
		{"a directory state", state("MIRROR_STATE=" + in("state")), []string{"split", mapping}, []string{"copy", "s0"}, []string{"report", "-out", in("kept")}, in("kept"), true},
		{"ConfigMaps", state("MIRROR_STATE=configmaps", "MIRROR_NAMESPACE=default", "KUBECONFIG="+in("kubeconfig")),
			[]string{"split", mapping}, []string{"copy", "s0"}, []string{"report", "-out", in("configmaps")}, in("configmaps"), false},
		{"nowhere: run", nil, []string{"run", "-out", in("run"), mapping}, nil, nil, in("run"), false},
	}
}

// space mirrors the images of a case in each mode.
func (t *torturer) space(ctx context.Context, name string, lines []string, kubeconfig []byte) error {
	work, mapping, err := t.work(lines)
	if err = errors.Join(err, os.WriteFile(filepath.Join(work, "kubeconfig"), kubeconfig, 0o600)); err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := writeSettings(work, name); err != nil {
		return err
	}
	for _, m := range modes(work, mapping) {
		if m.alike && name == together {
			continue
		}
		row := []any{name, m.name}
		for _, step := range []struct {
			command []string
			most    int // exit status
		}{{m.split, 1}, {m.copy, 0}, {m.report, 1}} {
			if step.command == nil {
				row = append(row, "")
				continue
			}
			cell, err := t.measured(ctx, work, step.command, step.most, m.env)
			if err != nil {
				return err
			}
			row = append(row, cell)
		}
		t.row(row...)
		if n, err := arrived(m.reported); err != nil || n != good {
			t.fail("%s, %s: %d of %d good images arrived (%w)", name, m.name, n, good, err)
		}
	}
	return nil
}

// writeSettings writes the settings of a case beside its mapping file, if it has any.
func writeSettings(work, name string) error {
	if name != selection {
		return nil
	}
	const settings = "apiVersion: imagemirror/v1\nkind: Settings\nmetadata: {name: %q}\nspec:\n  %s\n"
	return os.WriteFile(filepath.Join(work, "settings.yaml"), fmt.Appendf(nil, settings, filepath.Base(work), selectionSpec), 0o600)
}

// measured runs a command, whose standard output goes to NAME.out, and returns a cell of the table.
func (t *torturer) measured(ctx context.Context, work string, command []string, most int, env []string) (cell string, err error) {
	j := job{command: command, env: slices.Clone(env), group: t.group, output: filepath.Join(work, command[0]+".out")}
	if j.group == "" {
		j.env = append(j.env, heapLimit)
	}
	o, err := t.run(ctx, j)
	if err != nil {
		return "", err
	}
	if o.crashed() || o.status > most || o.resident > bound {
		t.fail("%q: exit status %d, %d MiB resident: %s", command, o.status, o.resident>>20, o.end())
	}
	return fmt.Sprintf("%d MiB, %.1f s", o.resident>>20, o.took.Seconds()), nil
}
