package status

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imagemirror/internal/record"
)

// A counted reader counts what is loaded.
type counted struct {
	record.Reader
	loads []string
}

func (c *counted) Load(ctx context.Context, set string) (*record.Record, error) {
	c.loads = append(c.loads, set)
	return c.Reader.Load(ctx, set)
}

func store(t *testing.T, d *record.Directory, r *record.Record) {
	t.Helper()
	if err := d.Update(t.Context(), r.Set, func(*record.Record) *record.Record { return r }); err != nil {
		t.Fatal(err)
	}
}

func TestOnlyRecordsThatChangedAreRead(t *testing.T) {
	dir := t.TempDir()
	d, err := record.OpenDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	store(t, d, goodSet("a", 2, 3, 1))
	reader := &counted{Reader: record.ReadDirectory(dir)}
	source := &Records{Reader: reader}
	look := func(loads string, sets int, problem string) Look {
		t.Helper()
		reader.loads = nil
		got, err := source.Look(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if read := strings.Join(reader.loads, " "); read != loads || len(got.Records) != sets || !strings.Contains(strings.Join(got.Problems, "\n"), problem) {
			t.Errorf("it read %q, and has %d records, %q; want %q, %d, %q", read, len(got.Records), got.Problems, loads, sets, problem)
		}
		return got
	}
	look("a", 1, "")
	look("", 1, "")
	store(t, d, goodSet("b", 2, 3, 1))
	look("b", 2, "")
	// A broken record leaves the last good one, and the other sets.
	if err := os.WriteFile(filepath.Join(dir, "b.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	look("b", 2, "reading the record of the image set b: ")
	store(t, d, goodSet("b", 3, 3, 1))
	if got := look("b", 2, ""); len(got.Records[1].Destinations) != 3 || len(got.Problems) > 0 {
		t.Errorf("%d destinations, %q", len(got.Records[1].Destinations), got.Problems)
	}
	if err := os.Remove(filepath.Join(dir, "a.json")); err != nil {
		t.Fatal(err)
	}
	look("", 1, "")
	source.Active = func(context.Context) ([]Active, error) { return nil, errors.New("forbidden") }
	look("", 1, "listing the active runs: forbidden")
}

func TestProblemsAreBounded(t *testing.T) {
	if got := few(make([]string, 8)); len(got) != maxProblems+1 || got[maxProblems] != "and 3 more problems" {
		t.Errorf("got %q", got)
	}
}

func TestNoDirectoryIsAnError(t *testing.T) {
	source := &Records{Reader: record.ReadDirectory(filepath.Join(t.TempDir(), "x"))}
	if _, err := Take(t.Context(), source); err == nil || !strings.Contains(err.Error(), "no such file or directory") {
		t.Errorf("the error is %v", err)
	}
}
