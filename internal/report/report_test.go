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

	"imagemirror/internal/junit"
	"imagemirror/internal/stream"
)

func TestDirectoryReplacesAnOlderReport(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "folder")
	for _, n := range []int{2, 1} {
		var ids []int
		for id := range n {
			ids = append(ids, id)
		}
		s := named(stream.Results, "", ids...)
		for _, id := range ids {
			s.with(result(id, stream.Current, 0))
		}
		r, err := build(t, s)
		if err != nil {
			t.Fatal(err)
		}
		d, err := OpenOutput(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Write(r); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(filepath.Join(path, "report.json"))
		if err != nil {
			t.Fatal(err)
		}
		if got := decode(t, content); got.Summary.Mappings != n || len(got.Results) != n {
			t.Errorf("the report has %d results, want %d", len(got.Results), n)
		}
	}
	entries, err := os.ReadDir(path)
	if err != nil || len(entries) != 3 {
		t.Errorf("the directory holds %v, %v; want three files", entries, err)
	}
}

// A full disk, or a file that cannot be replaced, leaves no report.json that the other files
// disagree with.
func TestFilesAreReplacedTogetherOrNotAtAll(t *testing.T) {
	names := []string{"report.json", "report.md", "junit.xml"}
	broken := errors.New("broken")
	for _, c := range []struct {
		name    string
		breaks  string // the file that cannot be written, in full
		blocked string // the file whose name is that of a directory
		same    []string
	}{
		{"the first cannot be written", "report.json", "", names},
		{"the second cannot be written", "report.md", "", names},
		{"the last cannot be written", "junit.xml", "", names},
		{"the first cannot be replaced", "", "junit.xml", []string{"report.json", "report.md"}},
		{"another cannot be replaced", "", "report.md", []string{"report.json"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := Output{t.TempDir()}
			var files []File
			for _, name := range names {
				if err := os.WriteFile(filepath.Join(d.path, name), []byte("old"), 0o600); err != nil {
					t.Fatal(err)
				}
				files = append(files, File{name, func(w io.Writer) error {
					fmt.Fprint(w, strings.Repeat("new", 10_000))
					if name == c.breaks {
						return broken
					}
					return nil
				}})
			}
			if c.blocked != "" {
				path := filepath.Join(d.path, c.blocked)
				if err := errors.Join(os.Remove(path), os.MkdirAll(filepath.Join(path, "full"), 0o755)); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.writeAll(files); err == nil || c.breaks != "" && !errors.Is(err, broken) {
				t.Errorf("got %v", err)
			}
			for _, name := range c.same {
				if content, err := os.ReadFile(filepath.Join(d.path, name)); err != nil || string(content) != "old" {
					t.Errorf("%s is %.20q, %v; want the old one", name, content, err)
				}
			}
			if entries, err := os.ReadDir(d.path); err != nil || len(entries) != len(names) {
				t.Errorf("the directory holds %v, %v; want %d files", entries, err, len(names))
			}
		})
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
		{"to copy", named(stream.Plan, "", 1).with(stream.Copy{ID: 1, Digest: digestOf("a"), Bytes: 2048}), "Dry run: 1 of 1 mapping to copy (1 new, 0 moved), 2.0 KiB"},
		{"nothing to copy", named(stream.Plan, "", 1).with(result(1, stream.Current, 0)), "Nothing to copy: 1 mapping up to date"},
		{"to copy, and failed", named(stream.Plan, "", 1, 2).with(stream.Copy{ID: 1, Digest: digestOf("a")}, broken(2, "no")), "Dry run: 1 of 2 mappings failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := build(t, c.sheet)
			if err != nil {
				t.Fatal(err)
			}
			if got := r.Headline(); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// Mappings that no stream names have no results, so every format must show their number.
func TestUnknownShowsEverywhere(t *testing.T) {
	r, err := build(t, named(stream.Results, "").announcing(5))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		write func(io.Writer) error
		want  string
	}{
		{"table", r.WriteTable, "its end record is missing, before it named 5 of its 5 mappings\n"},
		{"report.md", r.WriteMarkdown, "## 5 mappings unknown: copy was cut before it named all of its work\n"},
		{"report.json", r.WriteJSON, `"unknown":5`},
		{"junit.xml", r.WriteJUnit, `<failure message="5 mappings unknown">`},
	} {
		var b strings.Builder
		if err := c.write(&b); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), c.want) {
			t.Errorf("%s does not have %q:\n%s", c.name, c.want, b.String())
		}
	}
}

// The formats of both goldens agree.
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
				t.Errorf("junit.xml counts %+v and report.json %+v", suites.Counts, s)
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

// A report keeps at most 2 KB for each mapping.
func TestReportKeepsLittleMemory(t *testing.T) {
	const n = 5000
	var ids []int
	for id := range n {
		ids = append(ids, id)
	}
	s := named(stream.Results, "", ids...)
	for _, id := range ids {
		s.with(stream.Result{ID: id, Status: stream.Current, Digest: digestOf(fmt.Sprint(id)), Old: digestOf(fmt.Sprint(id))})
	}
	content := s.bytes(t)
	s = nil
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	c, err := stream.Skim(bytes.NewReader(content), "results")
	if err != nil {
		t.Fatal(err)
	}
	b := NewBuilder()
	if err := b.Add(c); err != nil {
		t.Fatal(err)
	}
	r := b.Report()
	c = nil
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
