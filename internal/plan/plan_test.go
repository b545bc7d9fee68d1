package plan

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imagemirror/internal/credentials"
	"imagemirror/internal/imageset"
	"imagemirror/internal/reference"
	"imagemirror/internal/registry"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

type anonymous struct{}

func (anonymous) For(context.Context, reference.Side, string, string) (credentials.Credential, error) {
	return credentials.Credential{}, nil
}

func options(t *testing.T) Options {
	t.Helper()
	c, err := registry.New(registry.Config{Concurrency: 4, Retries: 2, Stall: time.Minute}, anonymous{})
	if err != nil {
		t.Fatal(err)
	}
	return Options{Client: c}
}

func load(t *testing.T, lines ...string) []*imageset.Set {
	t.Helper()
	file := filepath.Join(t.TempDir(), "mapping_test")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	input, err := imageset.Load([]string{file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return input.Sets
}

func push(t *testing.T, host, name string) {
	t.Helper()
	image := registrytest.NewImage(registrytest.OCI, name, "amd64", registrytest.NewLayer("base", 50_000), registrytest.NewLayer(name, 1000))
	if _, err := registrytest.Write(t.Context(), host+"/"+name, image); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, name string) *stream.Content {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c, err := stream.Read(f, name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Every mapping is in exactly one file of the directory, all tags of a repository are in one
// shard, and each shard has the manifests that its copies need.
func TestDirectoryHoldsEachMappingOnce(t *testing.T) {
	r := registrytest.InProcess(t)
	var lines []string
	for i := range 6 {
		name := fmt.Sprintf("ci/a%d:v1", i)
		push(t, r.Host, name)
		lines = append(lines, fmt.Sprintf("%s/%s %s/m/a%d:v1 %s/m/a%d:latest", r.Host, name, r.Host, i, r.Host, i))
	}
	lines = append(lines, r.Host+"/ci/none:v1 "+r.Host+"/m/none:v1")
	dir := t.TempDir()
	stale := filepath.Join(dir, "shards", "s99.jsonl")
	if err := os.MkdirAll(filepath.Dir(stale), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stale, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := PrepareDirectory(dir); err != nil {
		t.Fatal(err)
	}
	p, err := Make(t.Context(), options(t), load(t, lines...))
	if err != nil {
		t.Fatal(err)
	}
	cut := p.Cut(3)
	if err := WriteDirectory(dir, cut.All()); err != nil {
		t.Fatal(err)
	}
	if len(p.Mappings) != 13 || len(p.Copies) != 12 || p.Count(stream.Failed) != 1 || len(cut.Shards) != 3 {
		t.Errorf("%d mappings, %d copies, %d failed, %d shards; want 13, 12, 1, 3", len(p.Mappings), len(p.Copies), p.Count(stream.Failed), len(cut.Shards))
	}
	files, err := filepath.Glob(filepath.Join(dir, "shards", "*"))
	if err != nil || len(files) != 3 {
		t.Fatalf("the shards are %v, %v; want 3 and nothing stale", files, err)
	}
	seen, home := map[int]bool{}, map[string]string{}
	for _, file := range append(files, filepath.Join(dir, "settled.jsonl")) {
		c := readFile(t, file)
		has := map[string]bool{}
		for m := range c.Manifests {
			has[m.Digest] = true
		}
		for _, copied := range c.Copies {
			if !has[copied.Digest] {
				t.Errorf("%s lacks the manifest %s", file, copied.Digest)
			}
		}
		for _, m := range c.Mappings {
			if seen[m.ID] {
				t.Errorf("mapping %d is in two files", m.ID)
			}
			seen[m.ID] = true
			repository, _, _ := strings.Cut(m.Destination[len(r.Host):], ":")
			if other := home[repository]; other != "" && other != file {
				t.Errorf("%s is in %s and in %s", repository, other, file)
			}
			home[repository] = file
		}
	}
	if len(seen) != 13 {
		t.Errorf("%d mappings are in the files, want 13", len(seen))
	}
}

func TestWildcards(t *testing.T) {
	r := registrytest.InProcess(t)
	for _, name := range []string{"ci/a:v1.0", "ci/a:v1.1", "ci/a:v2.0", "ci/b:v1.1"} {
		push(t, r.Host, name)
	}
	for _, c := range []struct {
		name  string
		lines []string
		want  map[string]string // by destination: part of the error, or "copy"
	}{
		{"each match keeps its name", []string{"ci/a:v1.* m/a"}, map[string]string{"m/a:v1.0": "copy", "m/a:v1.1": "copy"}},
		{"no match", []string{"ci/a:x* m/a"}, map[string]string{"m/a": "(3 listed)"}},
		{"no repository", []string{"ci/none:* m/a"}, map[string]string{"m/a": "404"}},
		{"two matches for one destination fail both", []string{"ci/a:v1.1* m/a", "ci/b:* m/a"}, map[string]string{"m/a:v1.1": "same destination"}},
		{"a match that a line names too", []string{"ci/b:v1.1 m/a:v1.1", "ci/a:v1.* m/a"}, map[string]string{"m/a:v1.0": "copy", "m/a:v1.1": "same destination"}},
		{"the same match twice is one", []string{"ci/a:v1.* m/a", "ci/a:*.1 m/a"}, map[string]string{"m/a:v1.0": "copy", "m/a:v1.1": "copy"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var lines []string
			for _, l := range c.lines {
				source, destination, _ := strings.Cut(l, " ")
				lines = append(lines, r.Host+"/"+source+" "+r.Host+"/"+destination)
			}
			plan, err := Make(t.Context(), options(t), load(t, lines...))
			if err != nil {
				t.Fatal(err)
			}
			names, got := map[int]string{}, map[string]string{}
			for _, m := range plan.Mappings {
				names[m.ID] = strings.TrimPrefix(m.Destination, r.Host+"/")
			}
			for _, one := range plan.Copies {
				got[names[one.ID]] = "copy"
			}
			for _, one := range plan.Results {
				got[names[one.ID]] = one.Error.Message
			}
			if len(got) != len(c.want) {
				t.Errorf("the plan has %v, want %v", got, c.want)
			}
			for name, says := range c.want {
				if !strings.Contains(got[name], says) {
					t.Errorf("%s: %q, want %q", name, got[name], says)
				}
			}
		})
	}
}

// An interrupted plan has a result for every mapping.
func TestInterruptedPlanIsWhole(t *testing.T) {
	r := registrytest.InProcess(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	lines := []string{r.Host + "/ci/a:v1 " + r.Host + "/m/a:v1", r.Host + "/ci/b:* " + r.Host + "/m/b"}
	plan, err := Make(ctx, options(t), load(t, lines...))
	if !errors.Is(err, ErrInterrupted) {
		t.Errorf("an interrupted plan is %v, want %v", err, ErrInterrupted)
	}
	if len(plan.Results) != 2 {
		t.Fatalf("the plan has %d results, want one for each of 2 mappings", len(plan.Results))
	}
	for _, one := range plan.Results {
		if one.Status != stream.Failed || !strings.Contains(one.Error.Message, "interrupted") {
			t.Errorf("the result is %+v, want failed for the interruption", one)
		}
	}
}
