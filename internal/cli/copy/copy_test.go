package copy

import (
	"os"
	"strings"
	"testing"
)

func TestResultsNeverReplaceThePlan(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("s0.jsonl", []byte("plan"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("s0.jsonl", "link"); err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{"s0.jsonl", "./s0.jsonl", "link"} {
		c := config{out: out}
		if _, err := c.output([]string{"s0.jsonl"}); err == nil || !strings.Contains(err.Error(), "is a shard of the plan") {
			t.Errorf("-out %s: got %v", out, err)
		}
	}
	if plan, err := os.ReadFile("s0.jsonl"); err != nil || string(plan) != "plan" {
		t.Errorf("the plan is now %q (%v)", plan, err)
	}
	c := config{out: "results.jsonl"}
	f, err := c.output([]string{"s0.jsonl"})
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}
