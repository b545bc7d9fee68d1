package record

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/stream"
)

// TestMain lets the test binary update records until it is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("UPDATE_RECORDS_IN"); dir != "" {
		updateForever(dir)
	}
	os.Exit(m.Run())
}

// open opens a directory of records.
func open(t testing.TB, path string) *Directory {
	t.Helper()
	d, err := OpenDirectory(path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// load loads a record.
func load(t testing.TB, r Reader, set string) *Record {
	t.Helper()
	loaded, err := r.Load(t.Context(), set)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// testStore tests what holds for every Store.
func testStore(t *testing.T, s Store) {
	ctx := t.Context()
	if _, err := s.Load(ctx, "tekton"); !errors.Is(err, ErrNone) {
		t.Errorf("loading none is %v, want ErrNone", err)
	}
	want := New("tekton")
	tags := map[string]bool{}
	for n := range 3 {
		u := run(n, line{"v1", stream.Copied, string("abc"[n]), ""})
		want = want.Apply(u)
		for range 2 {
			if err := s.Update(ctx, "tekton", func(r *Record) *Record { return r.Apply(u) }); err != nil {
				t.Fatal(err)
			}
		}
		items, err := s.List(ctx)
		if err != nil || len(items) != 1 || items[0].Set != "tekton" {
			t.Fatalf("the list is %v, %v", items, err)
		}
		tags[items[0].Tag] = true
	}
	if diff := cmp.Diff(want, load(t, s, "tekton")); diff != "" {
		t.Errorf("the record (-want +got):\n%s", diff)
	}
	if len(tags) != 3 {
		t.Errorf("three different records have the tags %v", tags)
	}
}

// testWriters lets so many writers update one record at once, each rounds times, and checks that
// no update is lost.
func testWriters(t *testing.T, set string, rounds int, stores ...Store) {
	var all sync.WaitGroup
	for w, s := range stores {
		all.Go(func() {
			for i := range rounds {
				u := run(0, line{fmt.Sprintf("v%d", w), stream.Copied, "a", ""})
				u.Report.Run.ID, u.Whole = fmt.Sprintf("run-%d-%d", w, i), false
				u.Report.Results[0].File = fmt.Sprintf("mapping_%d", w)
				if err := s.Update(t.Context(), set, func(r *Record) *Record { return r.Apply(u) }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	r := load(t, stores[0], set)
	if len(r.Runs) != len(stores)*rounds || len(r.Destinations) != len(stores) {
		t.Errorf("there are %d runs and %d destinations, want those of %d writers, %d each", len(r.Runs), len(r.Destinations), len(stores), rounds)
	}
}

func TestDirectory(t *testing.T) {
	testStore(t, open(t, filepath.Join(t.TempDir(), "a", "b")))
}

func TestDirectoryHasManyWriters(t *testing.T) {
	dir := t.TempDir()
	var stores []Store
	for range 8 {
		stores = append(stores, open(t, dir))
	}
	testWriters(t, "tekton", 3, stores...)
}

func TestFileNames(t *testing.T) {
	dir := t.TempDir()
	sets := []string{"tekton", "", "..", ".", ".lock", "../up", "a/b", "a b", "ä", "a.json", "%", "Tekton", ".put-x"}
	names := map[string]bool{}
	for i, set := range sets {
		d := open(t, dir)
		if err := d.Update(t.Context(), set, func(r *Record) *Record { return r.Apply(run(i)) }); err != nil {
			t.Fatal(err)
		}
		names[set] = true
	}
	items, err := open(t, dir).List(t.Context())
	if err != nil || len(items) != len(sets) {
		t.Errorf("%d sets are listed, want %d: %v %v", len(items), len(sets), items, err)
	}
	for _, item := range items {
		if r := load(t, open(t, dir), item.Set); r.Set != item.Set || !names[item.Set] {
			t.Errorf("the record of %q is that of %q", item.Set, r.Set)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != len(sets)+1 {
		t.Errorf("there are %d files, want one for each set and the lock: %v", len(entries), err)
	}
	err = open(t, dir).Update(t.Context(), strings.Repeat("x", 300), func(*Record) *Record { return New("x") })
	if err == nil || !strings.Contains(err.Error(), "is too long for that of a file") {
		t.Errorf("got %v", err)
	}
}

// A file that cannot be read is never lost, and does not keep a run from being recorded.
func TestBrokenFilesAreKeptAside(t *testing.T) {
	whole := encoded(t, New("tekton").Apply(run(1, line{"v1", stream.Copied, "a", ""})))
	for _, c := range []struct {
		name, content string
		kept          bool // in place: nothing is written
	}{
		{"garbage", "garbage", false},
		{"empty", "", false},
		{"cut", whole[:len(whole)/2], false},
		{"of another set", strings.Replace(whole, `"set":"tekton"`, `"set":"knative"`, 1), false},
		{"hostile", `{"version":1,"destinations":[null,null]}`, false},
		{"deep", strings.Repeat("[", 1<<20), false},
		{"newer", `{"version":2}`, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "tekton.json")
			if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			d := open(t, dir)
			err := d.Update(t.Context(), "tekton", func(r *Record) *Record { return r.Apply(run(2)) })
			aside, _ := filepath.Glob(filepath.Join(dir, "tekton.json.broken-*"))
			if c.kept {
				aside = []string{file}
				if !errors.Is(err, ErrNewer) {
					t.Errorf("got %v, want ErrNewer", err)
				}
			} else if err != nil || load(t, d, "tekton").LastRun().ID != "run-2" {
				t.Errorf("the run is not recorded: %v", err)
			}
			if len(aside) != 1 {
				t.Fatalf("kept aside is %v", aside)
			}
			if content, err := os.ReadFile(aside[0]); err != nil || string(content) != c.content {
				t.Errorf("kept is %.80q, %v", content, err)
			}
			if items, err := d.List(t.Context()); err != nil || len(items) != 1 {
				t.Errorf("listed are %v, %v", items, err)
			}
		})
	}
}

func TestPipeIsNoRecord(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "tekton.json"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadDirectory(dir).Load(t.Context(), "tekton"); err == nil || !strings.HasSuffix(err.Error(), "it is not a file") {
		t.Errorf("got %v", err)
	}
	if err := open(t, dir).Update(t.Context(), "tekton", func(r *Record) *Record { return r.Apply(run(2)) }); err != nil {
		t.Error(err)
	}
}

func TestUpdateWaitsForTheLock(t *testing.T) {
	d := open(t, t.TempDir())
	unlock, err := d.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	err = d.Update(ctx, "tekton", func(r *Record) *Record { return r.Apply(run(1)) })
	if err == nil || !strings.HasSuffix(err.Error(), "is still locked by another process: check what it does, or run again later") {
		t.Errorf("got %v", err)
	}
	unlock()
	if err := d.Update(t.Context(), "tekton", func(r *Record) *Record { return r.Apply(run(1)) }); err != nil {
		t.Error(err)
	}
}

// updateForever records runs of a set, and writes a line for each.
func updateForever(dir string) {
	d, err := OpenDirectory(dir)
	for n := 0; err == nil; n++ {
		err = d.Update(context.Background(), "tekton", func(r *Record) *Record {
			u := run(len(r.Runs), line{"v1", stream.Copied, string("ab"[n%2]), ""}, line{"v2", stream.Failed, "b", ""})
			u.Report.Run.ID += fmt.Sprint("-", os.Getpid(), "-", n)
			return r.Apply(u)
		})
		fmt.Println(n)
	}
	fmt.Println(err)
}

// A writer that is killed at any moment leaves a record that is whole, and has each run that the
// writer knew to be recorded. The next writer removes what it left.
func TestKilledWritersLeaveARecord(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	told := 0
	for range 50 {
		told += killWriter(t, self, dir)
		r := load(t, ReadDirectory(dir), "tekton")
		if len(r.Runs) < min(told, MaxRuns) {
			t.Fatalf("there are %d runs in the record, and the writers told of %d", len(r.Runs), told)
		}
		told = len(r.Runs)
	}
	d := open(t, dir)
	if err := d.Update(t.Context(), "tekton", func(r *Record) *Record { return r }); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("the directory has %v, %v", entries, err)
	}
}

// killWriter kills a writer at a random moment, and returns how many updates it told of.
func killWriter(t *testing.T, self, dir string) int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), "UPDATE_RECORDS_IN="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewScanner(out)
	if !in.Scan() {
		t.Fatal("the writer ended")
	}
	lines := 1
	time.AfterFunc(time.Duration(rand.Int64N(int64(8*time.Millisecond))), func() { _ = cmd.Process.Kill() })
	for in.Scan() {
		lines++
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the writer ended: %v", err)
	}
	return lines
}
