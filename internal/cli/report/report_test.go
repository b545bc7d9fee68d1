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
	"syscall"
	"testing"
	"time"

	"imagemirror/internal/command"
	"imagemirror/internal/stream"
)

// TestMain lets the test binary run as the command.
func TestMain(m *testing.M) {
	if os.Getenv("BE_REPORT") == "1" {
		command.Main(Command())
	}
	os.Exit(m.Run())
}

// newProcess returns the command with the arguments, as a process of its own.
func newProcess(t *testing.T, args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), "BE_REPORT=1")
	return cmd
}

// content returns a stream of one mapping, with its result if there is one.
func content(t *testing.T, kind string, results ...stream.Result) []byte {
	t.Helper()
	var b bytes.Buffer
	w := stream.NewWriter(&b, stream.Header{Stream: kind, Run: "r", Mappings: 1})
	w.Mapping(stream.Mapping{ID: 1, Source: "ci.example.com/a:v1", Destination: "quay.io/org/a:v1", File: "mapping_a", Line: 7})
	for _, r := range results {
		w.Result(r)
	}
	if err := w.End(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// results returns a stream of one mapping that ended with the status.
func results(t *testing.T, status string) []byte {
	t.Helper()
	r := stream.Result{ID: 1, Status: status, Digest: "sha256:" + strings.Repeat("ab", 32)}
	if status == stream.Failed {
		r.Error = &stream.Error{Side: "destination", Status: 403, Message: "denied"}
	}
	return content(t, stream.Results, r)
}

// withoutEnd cuts the last line off.
func withoutEnd(content []byte) []byte {
	return content[:bytes.LastIndexByte(content[:len(content)-1], '\n')+1]
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good, bad := results(t, stream.Current), results(t, stream.Failed)
	var none bytes.Buffer
	if err := stream.NewWriter(&none, stream.Header{Stream: stream.Results, Run: "r"}).End(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		files  []string
		stdin  []byte
		out    string
		status int
		err    string // its end
		table  string // its beginning
	}{
		{name: "all well", stdin: good, table: "Nothing to copy: 1 mapping up to date\n\nSET"},
		{name: "from a file", files: []string{file("good.jsonl", good)}, table: "Nothing to copy: 1 mapping up to date\n\nSET"},
		{name: "standard input by name", files: []string{"-"}, stdin: good, table: "Nothing to copy: 1 mapping up to date\n\nSET"},
		{name: "nothing to mirror", stdin: none.Bytes(), table: "Nothing to mirror: there is no mapping\n"},
		{name: "a failure", stdin: bad, status: 1, err: "1 of 1 mapping failed", table: "1 of 1 mapping failed: 1 cause\n\nSET"},
		{name: "nothing on standard input", status: 2, err: "standard input: the input is empty: check the command that should have written it"},
		{name: "an empty file", files: []string{file("empty", nil)}, status: 2, err: "empty: the input is empty: check the command that should have written it"},
		{name: "no such file", files: []string{filepath.Join(dir, "absent")}, status: 2, err: "absent: no such file or directory"},
		{name: "a directory", files: []string{dir}, status: 2, err: " is a directory: name files, such as " + dir + "/settled.jsonl " + dir + "/shards/*.jsonl"},
		{name: "a plan that was cut", stdin: withoutEnd(content(t, stream.Plan)), status: 2, err: "standard input:2: the stream is cut: its end record is missing: run split again, a plan has to be whole"},
		{name: "a mapping file", stdin: []byte("a b\n"), status: 2, err: "standard input:1: the first record is not a header: give the output of split or copy"},
		{name: "every bad file is named", files: []string{file("one", nil), file("good", good), file("two", nil)}, status: 2, err: "two: the input is empty: check the command that should have written it"},
		{name: "an -out below a file", files: []string{filepath.Join(dir, "absent")}, out: filepath.Join(file("plain", nil), "out"), status: 2, err: "plain: not a directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var table strings.Builder
			command := config{out: c.out, stdin: bytes.NewReader(c.stdin), stdout: &table}
			checkError(t, command.run(t.Context(), c.files), c.status, c.err)
			if !strings.HasPrefix(table.String(), c.table) || c.table == "" && table.Len() > 0 {
				t.Errorf("the table is %q, want %q…", table.String(), c.table)
			}
		})
	}
}

// checkError compares an exit status and the end of the error that it stands for.
func checkError(t *testing.T, err error, status int, suffix string) {
	t.Helper()
	if got := command.ExitStatus(err); got != status {
		t.Errorf("exit status %d, want %d", got, status)
	}
	if (err == nil) != (suffix == "") || err != nil && !strings.HasSuffix(err.Error(), suffix) {
		t.Errorf("got  %v\nwant …%s", err, suffix)
	}
}

func TestUnwritableOutIsRefusedBeforeReading(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	in := strings.NewReader("not read")
	c := config{out: dir, stdin: in, stdout: io.Discard}
	checkError(t, c.run(t.Context(), nil), 2, "permission denied")
	if in.Len() != len("not read") {
		t.Error("the input was read all the same")
	}
}

// full is a terminal that went away.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestLostTableIsAnError(t *testing.T) {
	c := config{stdin: bytes.NewReader(results(t, stream.Copied)), stdout: full{}}
	checkError(t, c.run(t.Context(), nil), 1, "no space left on device")
}

func TestProcess(t *testing.T) {
	for _, c := range []struct {
		name   string
		args   []string
		stdin  []byte
		status int
		stdout string // a part of it
		stderr string // all of it
	}{
		{"help", []string{"-h"}, nil, 0, "Usage: report [-out DIR] [-record DIR] [RESULTS...]\n", ""},
		{"all well", nil, results(t, stream.Current), 0, "(no set)         1        0        1       0         0 B\n", ""},
		{"a failure", nil, results(t, stream.Failed), 1, "  failures of other kinds\n    1 mapping, at ", "report: 1 of 1 mapping failed\n"},
		{"nothing", nil, nil, 2, "", "report: standard input: the input is empty: check the command that should have written it\n"},
		{"unknown flag", []string{"-fast"}, nil, 2, "", "report: flag provided but not defined: -fast: see report -h\n"},
		{"flag after a file", []string{"a.jsonl", "-out", "dir"}, nil, 2, "", "report: flag -out must come before \"a.jsonl\"\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := newProcess(t, c.args...)
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

// With -out - the archive is all that is written, whatever the verdict, because a pod's log
// mixes standard output and standard error.
func TestArchiveIsAllThatIsWritten(t *testing.T) {
	cmd, input := newProcess(t, "-out", "-"), results(t, stream.Failed)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &stdout, &stderr
	if err := cmd.Run(); err != nil || stderr.Len() > 0 {
		t.Fatalf("%v, and on standard error\n%s", err, stderr.String())
	}
	dir := filepath.Join(t.TempDir(), "want")
	cmd = newProcess(t, "-out", dir)
	cmd.Stdin = bytes.NewReader(input)
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
	if err != nil || len(files) != 4 || len(got) != 4 {
		t.Fatalf("there are %d files in the archive and %d in the directory, %v; want four each", len(got), len(files), err)
	}
	for _, file := range files {
		want, err := os.ReadFile(filepath.Join(dir, file.Name()))
		if err != nil || got[file.Name()] != string(want) {
			t.Errorf("%s is\n%s\nin the archive, and\n%s\nin the directory, %v", file.Name(), got[file.Name()], want, err)
		}
	}
}

// Ctrl-C sends SIGINT to each command of a pipe.
func TestInterruptDoesNotEndReport(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	cmd := newProcess(t, "-out", out)
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
