// Command torture runs the commands against registries that mean harm, beside 20 good images. It
// also kills the commands, stops them, and lets their disk run full:
//
//	go run ./test/torture [-run REGEXP] [-cgroup DIRECTORY]
//
// It prints tables of what was done and what that took. It fails if a command takes more memory or
// time than a Task has, if a good image does not arrive, if a tag is neither on its old nor on its
// new image, and if a secret is shown.
//
// The commands whose memory is measured run in a control group of 256 MiB, which only root can
// make. Without it they are told of such a container, and their resident memory is compared.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"sync"
)

func main() {
	if os.Getenv(serving) != "" {
		serveHostile()
		return
	}
	t := &torturer{out: os.Stdout, kills: 200, stops: 20}
	run := flag.String("run", "", "only the parts and cases whose names match `REGEXP`")
	flag.StringVar(&t.group, "cgroup", "", "run the commands in the control group of this `DIRECTORY`, not in a new one")
	flag.Parse()
	if err := t.torture(context.Background(), *run); err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(1)
	}
}

// A torturer runs the commands.
type torturer struct {
	out          io.Writer
	only         *regexp.Regexp
	dir          string // has the program, and the files of cases
	group        string // directory of a control group, or ""
	kills, stops int

	mu       sync.Mutex
	failures []error
}

// A trial is a table of cases of one kind.
type trial struct {
	name, columns string
	cases         []string
	run           func(t *torturer, ctx context.Context, name string) error
}

func (t *torturer) torture(ctx context.Context, only string) (err error) {
	if t.only, err = regexp.Compile(only); err != nil {
		return err
	}
	remove, err := t.build(ctx)
	if err != nil {
		return err
	}
	defer remove()
	if t.group == "" {
		group, remove, err := newGroup()
		if err != nil {
			fmt.Fprintln(t.out, "The control group is skipped:", err)
		} else {
			t.group = group
			defer remove()
		}
	}
	for _, p := range []trial{spacePart(), timePart, killPart, diskPart, echoPart} {
		if err := t.part(ctx, p); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return errors.Join(t.failures...)
}

// build builds the command, in a directory that has the files of cases too. The caller removes it.
func (t *torturer) build(ctx context.Context) (remove func(), err error) {
	if t.dir, err = os.MkdirTemp("", "torture"); err != nil {
		return nil, err
	}
	remove = func() { _ = os.RemoveAll(t.dir) }
	build := exec.CommandContext(ctx, "go", "build", "-o", t.dir+"/", "imagemirror/cmd/imagemirror")
	build.Env = append(build.Environ(), "CGO_ENABLED=0") // as images have it
	if out, err := build.CombinedOutput(); err != nil {
		remove()
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return remove, nil
}

// part runs the chosen cases of a part.
func (t *torturer) part(ctx context.Context, p trial) error {
	begun := false
	for _, name := range p.cases {
		if !t.only.MatchString(p.name + ": " + name) {
			continue
		}
		if !begun {
			begun = true
			fmt.Fprintf(t.out, "\n## %s\n\n%s\n", p.name, p.columns)
		}
		if err := p.run(t, ctx, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// fail notes what should not have happened.
func (t *torturer) fail(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures = append(t.failures, fmt.Errorf(format, args...))
}

// row prints a row of a table.
func (t *torturer) row(cells ...any) {
	for _, c := range cells {
		fmt.Fprintf(t.out, "| %v ", c)
	}
	fmt.Fprintln(t.out, "|")
}
