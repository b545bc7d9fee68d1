package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// launching is the environment variable that makes this program a launcher. A small process
// starts the tools: Linux counts the memory of the process that starts a program as the
// program's own until it is loaded, and the proxies take much.
const launching = "BENCH_LAUNCH"

// A launchSpec is what a launcher runs.
type launchSpec struct {
	Pipelines [][][]string // commands with their arguments; the output of each is the next one's input
	AtOnce    int          // pipelines
	Env       []string
	Output    string // file for what the commands say

	Interrupt time.Duration // after which the commands are interrupted, which is no error; 0: never
}

// A cost is what a job took.
type cost struct {
	Wall   time.Duration
	CPU    time.Duration // of all processes, user and system
	Memory int64         // most bytes that one of the processes had resident
	Error  string        // empty where all went well
}

// start runs a job in a process of its own.
func (j launchSpec) start(ctx context.Context) (cost, error) {
	self, err := os.Executable()
	if err != nil {
		return cost{}, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), launching+"=1")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stderr = os.Stderr
	input, err := cmd.StdinPipe()
	if err != nil {
		return cost{}, err
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return cost{}, err
	}
	if err := cmd.Start(); err != nil {
		return cost{}, err
	}
	var c cost
	err = errors.Join(json.NewEncoder(input).Encode(j), input.Close(), json.NewDecoder(output).Decode(&c), cmd.Wait())
	if ctx.Err() != nil {
		return c, context.Cause(ctx)
	}
	return c, err
}

// launch does the work of a launcher.
func launch() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var j launchSpec
	err := json.NewDecoder(os.Stdin).Decode(&j)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(j.run(ctx))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: launching:", err)
		return 1
	}
	return 0
}

func (j launchSpec) run(ctx context.Context) cost {
	out, err := os.Create(j.Output)
	if err != nil {
		return cost{Error: err.Error()}
	}
	defer out.Close()
	var mu sync.Mutex
	var c cost
	began := time.Now()
	var group errgroup.Group
	group.SetLimit(j.AtOnce)
	for _, p := range j.Pipelines {
		group.Go(func() error {
			commands, err := j.pipeline(ctx, p, out)
			mu.Lock()
			defer mu.Unlock()
			for _, cmd := range commands {
				c.add(cmd.ProcessState)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		c.Error = err.Error()
	}
	c.Wall = time.Since(began)
	return c
}

// pipeline runs commands and returns those that were started.
func (j launchSpec) pipeline(ctx context.Context, pipeline [][]string, out *os.File) ([]*exec.Cmd, error) {
	var started []*exec.Cmd
	began := time.Now()
	input, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	for i, args := range pipeline {
		output, next := out, (*os.File)(nil)
		if i < len(pipeline)-1 {
			if next, output, err = os.Pipe(); err != nil {
				break
			}
		}
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = j.Env, input, output, out
		err = cmd.Start()
		_ = input.Close()
		if output != out {
			_ = output.Close()
		}
		if input = next; err != nil {
			break
		}
		if j.Interrupt > 0 {
			time.AfterFunc(j.Interrupt, func() { _ = cmd.Process.Signal(os.Interrupt) })
		}
		started = append(started, cmd)
	}
	if input != nil {
		_ = input.Close()
	}
	errs := []error{err}
	for _, cmd := range started {
		interrupted := func() bool { return j.Interrupt > 0 && time.Since(began) >= j.Interrupt }
		if err := cmd.Wait(); err != nil && !interrupted() {
			errs = append(errs, fmt.Errorf("%s: %w", filepath.Base(cmd.Path), err))
		}
	}
	return started, errors.Join(errs...)
}

func (c *cost) add(p *os.ProcessState) {
	if p == nil {
		return
	}
	c.CPU += p.UserTime() + p.SystemTime()
	c.Memory = max(c.Memory, resident(p))
}

// resident returns the largest resident memory of a process in bytes, or 0 if the system does
// not tell.
func resident(p *os.ProcessState) int64 {
	u, ok := p.SysUsage().(*syscall.Rusage)
	switch {
	case !ok:
		return 0
	case runtime.GOOS == "darwin":
		return u.Maxrss
	}
	return u.Maxrss * 1024
}
