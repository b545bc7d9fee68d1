package report

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestGolden(t *testing.T) {
	for _, c := range []struct {
		name   string
		sheets map[string]*sheet
		files  []string
		err    string
	}{
		{
			name:   "run",
			sheets: wholeRun(),
			files:  []string{"settled", "plan-a", "plan-b", "plan-c", "result-a", "result-b"},
			err:    "16 of 31 mappings failed",
		},
		{
			name:   "dryrun",
			sheets: map[string]*sheet{"plan": dryRun()},
			files:  []string{"plan"},
			err:    "1 of 31 mappings failed",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			goldens, err := filepath.Abs(filepath.Join("testdata", c.name))
			if err != nil {
				t.Fatal(err)
			}
			out := t.TempDir()
			// The files' names show in the report.
			t.Chdir(t.TempDir())
			var table bytes.Buffer
			err = Job{Files: save(t, c.sheets, c.files...), Out: out, Table: &table}.Run()
			if err == nil || err.Error() != c.err {
				t.Errorf("the verdict is %v, want %s", err, c.err)
			}
			golden(t, goldens, "table.txt", table.Bytes())
			for _, name := range []string{"report.json", "report.md", "junit.xml"} {
				got, err := os.ReadFile(filepath.Join(out, name))
				if err != nil {
					t.Fatal(err)
				}
				golden(t, goldens, name, got)
			}
			left, err := filepath.Glob(filepath.Join(out, ".*"))
			if err != nil || len(left) > 0 {
				t.Errorf("temporary files are left: %v, %v", left, err)
			}
		})
	}
}

func golden(t *testing.T, dir, name string, got []byte) {
	t.Helper()
	path := filepath.Join(dir, name)
	if *update {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: run the test with -update", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got), run with -update where it is meant:\n%s", path, diff)
	}
}
