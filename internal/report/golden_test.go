package report

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files again")

func TestGolden(t *testing.T) {
	for _, c := range []struct {
		name   string
		sheets []*sheet
		err    string
	}{
		{"run", wholeRun(), "17 of 31 mappings failed"},
		{"dryrun", []*sheet{dryRun()}, "1 of 31 mappings failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := build(t, c.sheets...)
			if err != nil {
				t.Fatal(err)
			}
			r.From(Origin{Trigger: "cron", ID: "mirror-all-x7k2p", Version: "v0.1.0 (0ee96e4f2c81, go1.26.0)"})
			if err := r.Err(); err == nil || err.Error() != c.err {
				t.Errorf("the verdict is %v, want %s", err, c.err)
			}
			for _, file := range append(r.Files(), File{"table.txt", r.WriteTable}) {
				var got bytes.Buffer
				if err := file.Write(&got); err != nil {
					t.Fatal(err)
				}
				compareGolden(t, filepath.Join("testdata", c.name, file.Name), got.Bytes())
			}
		})
	}
}

func compareGolden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
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
		t.Errorf("%s (-want +got); run with -update if that is meant:\n%s", path, diff)
	}
}
