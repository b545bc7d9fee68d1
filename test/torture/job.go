package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A job is one command to run.
type job struct {
	command []string // split, copy, report or run, and its arguments
	env     []string
	output  string // the file that standard output goes to
	blocks  int    // if not 0, a file may have so many blocks of 512 bytes less one
	group   string
}

// A jobOutcome is how a job ended.
type jobOutcome struct {
	status   int // -1 if a signal ended it
	resident int64
	took     time.Duration
	said     string // on standard error
}

// start starts a job. The function that it returns waits for its end.
func (t *torturer) start(ctx context.Context, j job) (p *os.Process, wait func() jobOutcome, err error) {
	name := j.command[0]
	if name == "split" {
		name = "plan" // the same, as a command for people
	}
	args := append([]string{filepath.Join(t.dir, "imagemirror"), name}, j.command[1:]...)
	if j.blocks > 0 {
		args = append([]string{"sh", "-c", `ulimit -f "$0" && exec "$@"`, fmt.Sprint(j.blocks - 1)}, args...)
	}
	if j.group != "" {
		args = append([]string{"sh", "-c", `echo $$ > "$0"/cgroup.procs && exec "$@"`, j.group}, args...)
	}
	var said strings.Builder
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env, cmd.Stderr = append(slices.DeleteFunc(os.Environ(), isOwn), j.env...), &said
	if j.output != "" {
		out, err := os.Create(j.output)
		if err != nil {
			return nil, nil, err
		}
		defer out.Close()
		cmd.Stdout = out
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	return cmd.Process, func() jobOutcome {
		_ = cmd.Wait()
		o := jobOutcome{status: cmd.ProcessState.ExitCode(), took: time.Since(began), said: said.String()}
		if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			o.resident = u.Maxrss * 1024
		}
		return o
	}, nil
}

func (t *torturer) run(ctx context.Context, j job) (jobOutcome, error) {
	_, wait, err := t.start(ctx, j)
	if err != nil {
		return jobOutcome{}, err
	}
	return wait(), nil
}

// isOwn reports whether a variable would change what the commands do.
func isOwn(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	return name == "GOGC" || name == "GOMEMLIMIT" || name == "KUBECONFIG" || strings.HasPrefix(name, "MIRROR_")
}

// end returns the end of what a command said.
func (o jobOutcome) end() string { return o.said[max(0, len(o.said)-300):] }

// crashed reports whether a command did not end as one that knows what it does.
func (o jobOutcome) crashed() bool {
	return o.status < 0 || strings.Contains(o.said, "goroutine ") || strings.Contains(o.said, "panic:")
}

// work makes a directory with a mapping file of lines.
func (t *torturer) work(lines []string) (dir, mapping string, err error) {
	if dir, err = os.MkdirTemp(t.dir, "case"); err != nil {
		return "", "", err
	}
	mapping = filepath.Join(dir, "mapping_torture")
	return dir, mapping, errors.Join(
		os.WriteFile(mapping, []byte(strings.Join(lines, "\n")+"\n"), 0o600),
		os.WriteFile(filepath.Join(dir, "OWNERS"), []byte("approvers: [someone]\n"), 0o600))
}

// arrived returns how many good images the report in a directory calls copied. It holds one result
// at a time: Linux counts the memory of this process as that of the next command, too.
func arrived(dir string) (n int, err error) {
	f, err := os.Open(filepath.Join(dir, "report.json"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	in := json.NewDecoder(f)
	for token := json.Token(nil); token != "results"; {
		if token, err = in.Token(); err != nil {
			return 0, err
		}
	}
	if _, err := in.Token(); err != nil {
		return 0, err
	}
	for in.More() {
		var r struct{ Source, Status string }
		if err := in.Decode(&r); err != nil {
			return 0, err
		}
		if strings.Contains(r.Source, "/good/") && r.Status == "copied" {
			n++
		}
	}
	return n, nil
}
