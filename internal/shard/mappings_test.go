package shard

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imagemirror/internal/reference"
)

// mappings is a folder of real mapping files, beside the repository where there is one.
const mappings = "../../../shared/mappings"

// TestPackMappings packs the destination repositories of real mapping files, with images of
// one size.
func TestPackMappings(t *testing.T) {
	destinations := readDestinations(t, mappings)
	alone := func(i int, _ string) []Blob { return []Blob{blob(fmt.Sprint("image", i), 100*mib)} }
	based := func(i int, set string) []Blob {
		return []Blob{blob("base of "+set, 200*mib), blob(fmt.Sprint("image", i), 50*mib)}
	}
	for _, tc := range []struct {
		name  string
		blobs func(image int, set string) []Blob
	}{{"each its own", alone}, {"on the base of its set", based}} {
		repositories := destinations.repositories(tc.blobs)
		for _, n := range []int{4, 8, 16, 32, 64} {
			t.Run(fmt.Sprint(tc.name, "/", n), func(t *testing.T) {
				p := Pack(repositories, n)
				check(t, repositories, n, p)
				var total int64
				for _, s := range p.Shards {
					total += s.Weight()
				}
				imbalance := float64(p.heaviest()) * float64(n) / float64(total)
				w := newCatalog(repositories)
				assigned, _ := w.longestFirst(n)
				t.Logf("imbalance %.3f, %d MiB duplicated, and %d MiB longest first", imbalance, p.Duplicated/mib, w.plan(assigned, n).Duplicated/mib)
				if imbalance > 1.05 {
					t.Errorf("the heaviest shard weighs %.3f times the mean, want at most 1.05", imbalance)
				}
			})
		}
	}
}

// destination is one image of the mapping files: the repository that it goes to and the set
// that it comes from.
type destination struct{ repository, set string }

type destinations []destination

func (ds destinations) repositories(blobs func(image int, set string) []Blob) []Unit {
	repositories := make([]Unit, len(ds))
	for i, d := range ds {
		repositories[i] = Unit{Name: d.repository, Requests: 5, Blobs: blobs(i, d.set)}
	}
	return repositories
}

func readDestinations(t *testing.T, dir string) destinations {
	t.Helper()
	var ds destinations
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		set := filepath.Base(filepath.Dir(path))
		for line := range strings.Lines(string(content)) {
			line, _, _ = strings.Cut(line, "#")
			fields := strings.Fields(strings.ReplaceAll(line, "=", " "))
			for _, f := range fields[min(1, len(fields)):] {
				r, err := reference.Parse(f)
				if err != nil {
					return fmt.Errorf("%s: %w", path, err)
				}
				ds = append(ds, destination{r.Name(), set})
			}
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("there are no real mapping files at %s", dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	return ds
}
