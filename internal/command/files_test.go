package command

import (
	"os"
	"path/filepath"
	"testing"
)

func TestRefuseDirectories(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.MkdirAll(filepath.Join("plan", "shards"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("s0.jsonl", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		names []string
		want  string
	}{
		{nil, ""},
		{[]string{"s0.jsonl", "-", "nowhere"}, ""},
		{[]string{"s0.jsonl", "plan"}, "plan is a directory: name files, such as plan/settled.jsonl plan/shards/*.jsonl"},
		{[]string{"plan/"}, "plan/ is a directory: name files, such as plan/settled.jsonl plan/shards/*.jsonl"},
		{[]string{"plan/shards/"}, "plan/shards/ is a directory: name files, such as plan/settled.jsonl plan/shards/*.jsonl"},
		{[]string{"s0.jsonl", ""}, "the name of a file is empty: name files, such as settled.jsonl shards/*.jsonl"},
		{[]string{"."}, ". is a directory: name files, such as settled.jsonl shards/*.jsonl"},
	} {
		got := ""
		if err := RefuseDirectories(c.names, "settled.jsonl", "shards/*.jsonl"); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%q: got %q, want %q", c.names, got, c.want)
		}
	}
}
