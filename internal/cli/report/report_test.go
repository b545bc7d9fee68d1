package report

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imagemirror/internal/command"
	"imagemirror/internal/stream"
)

// TestMain lets the test binary be the command itself.
func TestMain(m *testing.M) {
	if os.Getenv("BE_REPORT") == "1" {
		command.Main(Command())
	}
	os.Exit(m.Run())
}

// start is the command with the arguments.
func start(t *testing.T, args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), "BE_REPORT=1")
	return cmd
}

// results is a stream of one mapping with the status.
func results(t *testing.T, status string) []byte {
	var b bytes.Buffer
	w := stream.NewWriter(&b, stream.Header{Stream: stream.Results, Run: "r", Mappings: 1})
	w.Mapping(stream.Mapping{ID: 1, Source: "ci.example.com/a:v1", Destination: "quay.io/org/a:v1", File: "mapping_a", Line: 7})
	r := stream.Result{ID: 1, Status: status, Digest: "sha256:" + strings.Repeat("ab", 32)}
	if status == stream.Failed {
		r.Error = &stream.Error{Side: "destination", Status: 403, Message: "denied"}
	}
	w.Result(r)
	if err := w.End(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestCommand(t *testing.T) {
	for _, c := range []struct {
		name   string
		args   []string
		stdin  []byte
		status int
		stdout string // a part of it
		stderr string // all of it
	}{
		{"help", []string{"-h"}, nil, 0, "Usage: report [-out DIR] [RESULTS...]\n", ""},
		{"all well", nil, results(t, stream.Current), 0, "(no set)         1        0        1       0         0 B\n", ""},
		{"a failure", nil, results(t, stream.Failed), 1, "  destination, HTTP 403: denied\n    1 mapping\n      mapping_a:7  to quay.io/org/a:v1\n", "report: 1 of 1 mapping failed\n"},
		{"nothing", nil, nil, 2, "", "report: standard input: the input is empty: nothing was written to it\n"},
		{"unknown flag", []string{"-fast"}, nil, 2, "", "report: flag provided but not defined: -fast: see report -h\n"},
		{"flag behind a file", []string{"a.jsonl", "-out", "dir"}, nil, 2, "", "report: \"-out\" stands behind \"a.jsonl\": flags come first\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := start(t, c.args...)
			var stdout, stderr bytes.Buffer
			cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(c.stdin), &stdout, &stderr
			err := cmd.Run()
			if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if got := cmd.ProcessState.ExitCode(); got != c.status {
				t.Errorf("exit status %d, want %d", got, c.status)
			}
			if !strings.Contains(stdout.String(), c.stdout) || c.stdout == "" && stdout.Len() > 0 {
				t.Errorf("stdout is\n%swant\n%s", stdout.String(), c.stdout)
			}
			if stderr.String() != c.stderr {
				t.Errorf("stderr is\n%swant\n%s", stderr.String(), c.stderr)
			}
		})
	}
}

// With -out - the report's files are all that is written, whatever the verdict: it goes through where what is written on standard
// output and on standard error is mixed.
func TestArchive(t *testing.T) {
	cmd := start(t, "-out", "-")
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(results(t, stream.Failed)), &stdout, &stderr
	if err := cmd.Run(); err != nil || stderr.Len() > 0 {
		t.Fatalf("%v, and on standard error\n%s", err, stderr.String())
	}
	dir := filepath.Join(t.TempDir(), "want")
	cmd = start(t, "-out", dir)
	cmd.Stdin = bytes.NewReader(results(t, stream.Failed))
	if err := cmd.Run(); err == nil {
		t.Error("with a failure and a directory the verdict is good")
	}
	got := map[string]string{}
	in := tar.NewReader(&stdout)
	for {
		header, err := in.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		got[header.Name] = string(content)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 3 || len(got) != 3 {
		t.Fatalf("there are %d files in the archive and %d in the directory, %v; want three each", len(got), len(files), err)
	}
	for _, file := range files {
		want, err := os.ReadFile(filepath.Join(dir, file.Name()))
		if err != nil || got[file.Name()] != string(want) {
			t.Errorf("%s is\n%s\nin the archive, and\n%s\nin the directory, %v", file.Name(), got[file.Name()], want, err)
		}
	}
}

// TestInterrupt sends what Ctrl-C sends to each command of a pipe.
func TestInterrupt(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	cmd := start(t, "-out", out)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// The directory is made once the command is past the start of main.
	deadline := time.After(time.Minute)
	for {
		if _, err := os.Stat(out); err == nil {
			break
		}
		select {
		case <-deadline:
			t.Fatal("the command does not start")
		case <-time.After(5 * time.Millisecond):
		}
	}
	whole := results(t, stream.Current)
	half := len(whole) / 2
	if _, err := stdin.Write(whole[:half]); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if _, err := stdin.Write(whole[half:]); err != nil {
		t.Fatal(err)
	}
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after an interrupt: %v", err)
	}
}
