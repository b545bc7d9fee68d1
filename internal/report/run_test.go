package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"imagemirror/internal/command"
	"imagemirror/internal/junit"
	"imagemirror/internal/stream"
)

func TestRun(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := named(stream.Results, "", 1).with(result(1, stream.Copied, 5)).bytes(t)
	bad := named(stream.Results, "", 1).with(broken(1, "no")).bytes(t)
	cut := named(stream.Plan, "", 1).cutOff().bytes(t)
	none := named(stream.Results, "").bytes(t)
	for _, c := range []struct {
		name   string
		files  []string
		stdin  []byte
		out    string
		status int
		err    string
		table  string
	}{
		{name: "all well", stdin: good, table: "SET"},
		{name: "from a file", files: []string{file("good.jsonl", good)}, table: "SET"},
		{name: "standard input by name", files: []string{"-"}, stdin: good, table: "SET"},
		{name: "nothing to mirror", stdin: none, table: "Nothing to mirror: there is no mapping.\n"},
		{name: "a failure", stdin: bad, status: 1, err: "1 of 1 mapping failed", table: "SET"},
		{name: "nothing on standard input", status: 2, err: "standard input: the input is empty: nothing was written to it"},
		{name: "an empty file", files: []string{file("empty", nil)}, status: 2, err: "empty: the input is empty: nothing was written to it"},
		{name: "no such file", files: []string{filepath.Join(dir, "absent")}, status: 2, err: "absent: no such file or directory"},
		{name: "a directory", files: []string{dir}, status: 2, err: "is a directory: name the files in it"},
		{name: "a plan that was cut", stdin: cut, status: 2, err: "standard input:2: the stream is cut: its end record is missing: run split again, a plan has to be whole"},
		{name: "a mapping file", stdin: []byte("a b\n"), status: 2, err: "standard input:1: the first record is no header: this is no stream of split or copy"},
		{name: "every bad file is named", files: []string{file("one", nil), file("good", good), file("two", nil)}, status: 2, err: "two: the input is empty: nothing was written to it"},
		{name: "an -out below a file", files: []string{filepath.Join(dir, "absent")}, out: filepath.Join(file("plain", nil), "out"), status: 2, err: "plain: not a directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var table strings.Builder
			err := Job{Files: c.files, Out: c.out, Stdin: bytes.NewReader(c.stdin), Table: &table}.Run()
			if got := command.Status(err); got != c.status {
				t.Errorf("exit status %d, want %d", got, c.status)
			}
			if (err == nil) != (c.err == "") || err != nil && !strings.HasSuffix(err.Error(), c.err) {
				t.Errorf("got  %v\nwant …%s", err, c.err)
			}
			if !strings.HasPrefix(table.String(), c.table) || c.table == "" && table.Len() > 0 {
				t.Errorf("the table is %q, want %q…", table.String(), c.table)
			}
		})
	}
}

func TestRunNeedsAWritableOut(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	in := strings.NewReader("not read")
	err := Job{Out: dir, Stdin: in, Table: io.Discard}.Run()
	if command.Status(err) != 2 || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("got %v, want a refusal", err)
	}
	if in.Len() != len("not read") {
		t.Error("the input was read all the same")
	}
}

func TestRunReplacesAnOlderReport(t *testing.T) {
	out := filepath.Join(t.TempDir(), "new", "folder")
	for _, n := range []int{2, 1} {
		var ids []int
		for id := range n {
			ids = append(ids, id)
		}
		s := named(stream.Results, "", ids...)
		for _, id := range ids {
			s.with(result(id, stream.Current, 0))
		}
		if err := (Job{Out: out, Stdin: bytes.NewReader(s.bytes(t)), Table: io.Discard}).Run(); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(filepath.Join(out, "report.json"))
		if err != nil {
			t.Fatal(err)
		}
		if got := decode(t, content); got.Summary.Mappings != n || len(got.Results) != n {
			t.Errorf("the report has %d results, want %d", len(got.Results), n)
		}
	}
	entries, err := os.ReadDir(out)
	if err != nil || len(entries) != 3 {
		t.Errorf("-out holds %v, %v; want three files", entries, err)
	}
}

func TestWriteIsWholeOrNotAtAll(t *testing.T) {
	d := directory(t.TempDir())
	if err := os.WriteFile(filepath.Join(string(d), "report.json"), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	err := d.write("report.json", func(w io.Writer) error {
		fmt.Fprint(w, strings.Repeat("new", 10_000))
		return broken
	})
	if !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "writing report.json: ") {
		t.Errorf("got %v, want that report.json is broken", err)
	}
	content, err := os.ReadFile(filepath.Join(string(d), "report.json"))
	if err != nil || string(content) != "old" {
		t.Errorf("report.json is %.20q, %v; want the old one", content, err)
	}
	if entries, err := os.ReadDir(string(d)); err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v; want one file", entries, err)
	}
}

// full is a terminal that went away.
type full struct{}

var errFull = errors.New("no space left on device")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestRunSaysThatTheTableWasLost(t *testing.T) {
	good := named(stream.Results, "", 1).with(result(1, stream.Copied, 5)).bytes(t)
	err := Job{Stdin: bytes.NewReader(good), Table: full{}}.Run()
	if command.Status(err) != 1 || !errors.Is(err, errFull) {
		t.Errorf("got %v, want %v and exit status 1", err, errFull)
	}
}

func TestHeadline(t *testing.T) {
	for _, c := range []struct {
		name  string
		sheet *sheet
		want  string
	}{
		{"copied", named(stream.Results, "", 1, 2).with(result(1, stream.Copied, 2048), result(2, stream.Current, 0)), "1 of 2 mappings copied, 2.0 KiB"},
		{"nothing new", named(stream.Results, "", 1).with(result(1, stream.Current, 0)), "Nothing to copy: 1 mapping up to date"},
		{"no mapping", named(stream.Results, ""), "Nothing to mirror"},
		{"failed", named(stream.Results, "", 1).with(broken(1, "no")), "1 of 1 mapping failed"},
		{"to copy", named(stream.Plan, "", 1).with(stream.Copy{ID: 1, Digest: digest("a"), Bytes: 2048}), "Dry run: 1 of 1 mapping to copy, 2.0 KiB"},
		{"nothing to copy", named(stream.Plan, "", 1).with(result(1, stream.Current, 0)), "Nothing to copy: 1 mapping up to date"},
		{"to copy, and failed", named(stream.Plan, "", 1, 2).with(stream.Copy{ID: 1, Digest: digest("a")}, broken(2, "no")), "Dry run: 1 of 2 mappings failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := gather(t, c.sheet)
			if err != nil {
				t.Fatal(err)
			}
			if got := r.headline(); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestUnknownShowsEverywhere is about mappings that no stream names: there is no result to show them by.
func TestUnknownShowsEverywhere(t *testing.T) {
	r, err := gather(t, named(stream.Results, "").announcing(5))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		write func(io.Writer) error
		want  string
	}{
		{"table", r.writeTable, "its end record is missing, before it named 5 of its 5 mappings\n"},
		{"report.md", r.writeMarkdown, "## 5 mappings unknown: copy was cut before it named all of its work\n"},
		{"report.json", r.writeJSON, `"unknown":5`},
		{"junit.xml", r.writeJUnit, `<failure message="5 mappings unknown">`},
	} {
		var b strings.Builder
		if err := c.write(&b); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), c.want) {
			t.Errorf("%s does not say %q:\n%s", c.name, c.want, b.String())
		}
	}
}

// TestFormatsAgree holds the formats of both goldens against each other.
func TestFormatsAgree(t *testing.T) {
	for _, name := range []string{"run", "dryrun"} {
		t.Run(name, func(t *testing.T) {
			content, err := os.ReadFile(filepath.Join("testdata", name, "report.json"))
			if err != nil {
				t.Fatal(err)
			}
			report := decode(t, content)
			if content, err = os.ReadFile(filepath.Join("testdata", name, "junit.xml")); err != nil {
				t.Fatal(err)
			}
			var suites junit.Suites
			if err := xml.Unmarshal(content, &suites); err != nil {
				t.Fatal(err)
			}
			s := report.Summary
			if suites.Tests != s.Mappings || suites.Failures != s.Failed || suites.Skipped != report.planned() || float64(suites.Time) != s.DurationSeconds {
				t.Errorf("junit.xml counts %+v and report.json %+v", suites.Totals, s)
			}
			cases := map[string]junit.Case{}
			for _, suite := range suites.Suites {
				for _, c := range suite.Cases {
					cases[c.Name] = c
				}
			}
			for _, m := range report.Results {
				c := cases[m.Destination]
				if (c.Failure != nil) != (m.Status == stream.Failed) || (c.Skipped != nil) != (m.Status == Planned) {
					t.Errorf("%s is %s and its test case is %+v", m.Destination, m.Status, c)
				}
				if c.Failure != nil && !strings.Contains(c.Failure.Message, m.Error) {
					t.Errorf("%s failed with %q and its test case with %q", m.Destination, m.Error, c.Failure.Message)
				}
			}
		})
	}
}

// TestMemory holds what a report keeps against the 2 KB that a mapping may cost.
func TestMemory(t *testing.T) {
	const n = 5000
	var ids []int
	for id := range n {
		ids = append(ids, id)
	}
	s := named(stream.Results, "", ids...)
	for _, id := range ids {
		s.with(stream.Result{ID: id, Status: stream.Current, Digest: digest(fmt.Sprint(id)), Old: digest(fmt.Sprint(id))})
	}
	content := s.bytes(t)
	s = nil
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r, err := Job{Stdin: bytes.NewReader(content)}.judge()
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / n; each > 2000 {
		t.Errorf("a report keeps %d bytes for a mapping", each)
	} else {
		t.Logf("a report keeps %d bytes for a mapping", each)
	}
	runtime.KeepAlive(r)
	runtime.KeepAlive(content)
}
