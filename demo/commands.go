package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/term"
)

// A commandOutcome is the part of report.json that the demo looks at.
type commandOutcome struct {
	Summary struct {
		Mappings, Copied, Current, Held, Failed int
	}
	Results []struct {
		Status, File string
		Line         int
		Owners       []string
	}
}

type counts struct{ copied, current, held, failed int }

func (o *commandOutcome) want(want counts) error {
	got := counts{o.Summary.Copied, o.Summary.Current, o.Summary.Held, o.Summary.Failed}
	if got != want {
		return fmt.Errorf("the report counts %+v, want %+v", got, want)
	}
	return nil
}

// mirror runs imagemirror run -record record -out report SETS, which has to exit with status, and
// reads the report.
func (w *world) mirror(ctx context.Context, status int, sets ...string) (*commandOutcome, error) {
	w.source.Reset()
	w.destination.Reset()
	if err := w.run(ctx, status, []string{"imagemirror", "run", "-record", "record", "-out", "report"}, sets); err != nil {
		return nil, err
	}
	return w.readReport()
}

// pipe runs split SETS | copy | report -record record -out report, and reads the report. The last
// of them has to exit with status.
func (w *world) pipe(ctx context.Context, status int, sets ...string) (*commandOutcome, error) {
	if err := w.run(ctx, status, []string{"split"}, sets, []string{"copy"}, []string{"report", "-record", "record", "-out", "report"}); err != nil {
		return nil, err
	}
	return w.readReport()
}

func (w *world) readReport() (*commandOutcome, error) {
	b, err := os.ReadFile(filepath.Join(w.dir, "report", "report.json"))
	if err != nil {
		return nil, err
	}
	var o commandOutcome
	return &o, json.Unmarshal(b, &o)
}

// run shows and runs the first command with the paths behind it, piped into the others. The
// last one has to exit with status, and the others with 0.
func (w *world) run(ctx context.Context, status int, first, paths []string, others ...[]string) error {
	shown := strings.Join(paths, " ")
	if len(paths) == len(w.sets) {
		shown = "image-sets/*/"
	}
	line := strings.TrimSpace(shell(first) + " " + shown)
	for _, c := range others {
		line += " | " + strings.Join(c, " ")
	}
	fmt.Printf("$ %s\n", line)
	var started []*exec.Cmd
	var input *os.File
	var commands = append([][]string{append(first, paths...)}, others...)
	for i, args := range commands {
		cmd := w.command(ctx, args, input)
		var output *os.File
		if i < len(commands)-1 {
			var err error
			if input, output, err = os.Pipe(); err != nil {
				return err
			}
			cmd.Stdout = output
		}
		err := cmd.Start()
		closeAll(output, cmd.Stdin)
		if err != nil {
			return err
		}
		started = append(started, cmd)
	}
	for i, cmd := range started {
		want := 0
		if i == len(started)-1 {
			want = status
		}
		if got := exitStatus(cmd.Wait()); got != want {
			return fmt.Errorf("%s exited with %d, want %d", strings.Join(commands[i], " "), got, want)
		}
	}
	return nil
}

// shell returns arguments as a person types them.
func shell(args []string) string {
	words := slices.Clone(args)
	for i, word := range words {
		if strings.Contains(word, " ") {
			words[i] = strconv.Quote(word)
		}
	}
	return strings.Join(words, " ")
}

func (w *world) command(ctx context.Context, args []string, input *os.File) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(w.dir, "bin", args[0]), args[1:]...)
	cmd.Dir = w.dir
	// The demo needs no credentials, and ignores what its user has set for the commands.
	cmd.Env = []string{"HOME=" + w.dir, "PATH=" + os.Getenv("PATH"), "TERM=" + os.Getenv("TERM"), "MIRROR_REGISTRIES_CONF=registries.conf"}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	copies := args[0] == "copy" || len(args) > 1 && (args[1] == "run" || args[1] == "rollback")
	if copies && !term.IsTerminal(int(os.Stderr.Fd())) {
		cmd.Stderr = nil // there is a log line for each of some two hundred images
	}
	if input != nil {
		cmd.Stdin = input
	}
	return cmd
}

func closeAll(output *os.File, input io.Reader) {
	if output != nil {
		_ = output.Close()
	}
	if f, ok := input.(*os.File); ok {
		_ = f.Close()
	}
}

func exitStatus(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}
