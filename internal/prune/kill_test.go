package prune

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"imagemirror/internal/registrytest"
)

// applied names the environment variable with which this test's program applies a file.
const applied = "PRUNE_TEST_FILE"

// TestApplyAsAProcess applies a file, in a process that a test can kill. Otherwise, it does
// nothing.
func TestApplyAsAProcess(t *testing.T) {
	path := os.Getenv(applied)
	if path == "" {
		t.Skip("it is a part of TestKilledApplyDeletesNothingElse")
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Read(content)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range (&Application{Client: client(t)}).Apply(t.Context(), f) {
		if o.Failed() {
			t.Errorf("%+v", o)
		}
	}
}

// An Apply that is killed at any moment has deleted nothing but what its file lists, and the next
// one deletes the rest.
func TestKilledApplyDeletesNothingElse(t *testing.T) {
	t.Parallel()
	tags := map[string]string{}
	var unwanted, wanted []string
	for i := range 6 {
		unwanted = append(unwanted, fmt.Sprintf("old-%d", i), fmt.Sprintf("extra-%d", i))
		wanted = append(wanted, fmt.Sprintf("new-%d", i))
	}
	for _, tag := range slices.Concat(unwanted, wanted) {
		tags[tag] = "a"
	}
	r := registrytest.Distribution(t, registrytest.DistributionOptions{})
	random := rand.New(rand.NewPCG(5, 6))
	for range 8 {
		w := fill(t, r, registrytest.ProxyOptions{}, tags)
		f := w.list(t)
		for i := 0; i < len(unwanted); i += 2 {
			f.Tags = append(f.Tags, Tag{
				Tag: w.candidate(unwanted[i], nil).Tag.String(), Digest: w.images["a"], Unwanted: ago(40), Age: "40 days", Reason: "none",
				With: []With{{Additional, unwanted[i+1], w.images["a"]}},
			})
		}
		content, err := f.Write()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "prune.json")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		at := 1 + random.IntN(24)
		w.applyAndKill(t, path, at)
		if left := w.tags(t, wanted...); !slices.Equal(left, wanted) {
			t.Fatalf("killed at request %d, %v are left of %v", at, left, wanted)
		}
		for _, o := range (&Application{Client: client(t)}).Apply(t.Context(), f) {
			if o.Failed() {
				t.Errorf("killed at request %d, and once more: %+v", at, o)
			}
		}
		if left := w.tags(t, slices.Concat(unwanted, wanted)...); !slices.Equal(left, wanted) {
			t.Errorf("killed at request %d, and applied once more: %v are left", at, left)
		}
	}
}

// applyAndKill applies a file in a process, and kills it when the registry gets request number at.
func (w *world) applyAndKill(t *testing.T, path string, at int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestApplyAsAProcess$")
	cmd.Env = append(os.Environ(), applied+"="+path)
	started, seen := make(chan struct{}), 0
	w.Inject(registrytest.FaultRule{Match: func(*http.Request) bool {
		<-started
		if seen++; seen == at {
			_ = cmd.Process.Kill()
		}
		return false
	}})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	close(started)
	_ = cmd.Wait()
	w.Heal()
}
