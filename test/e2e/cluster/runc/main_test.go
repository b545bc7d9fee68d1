package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestCapabilityIsDropped(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.json")
	const given = `{"linux":{"limit":9223372036854775807},"process":{"capabilities":{"bounding":["CAP_SYS_ADMIN","CAP_SYS_RESOURCE"],"effective":["CAP_SYS_RESOURCE"]}}}`
	const want = `{"linux":{"limit":9223372036854775807},"process":{"capabilities":{"bounding":["CAP_SYS_ADMIN"],"effective":[]}}}`
	if err := os.WriteFile(file, []byte(given), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := edit(file, "process", "capabilities"); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestProcessWithoutCapabilitiesIsLeftAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "process.json")
	const given = `{"args":["true"]}`
	if err := os.WriteFile(file, []byte(given), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := edit(file, "capabilities"); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != given {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestFlagIsFound(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
		ok   bool
	}{
		{[]string{"create", "--bundle", "/b", "id"}, "/b", true},
		{[]string{"create", "--bundle=/b", "id"}, "/b", true},
		{[]string{"create", "-b", "/b", "id"}, "/b", true},
		{[]string{"delete", "id"}, "", false},
		{[]string{"create", "--bundle"}, "", false},
	} {
		if got, ok := flag(c.args, "bundle", "b"); got != c.want || ok != c.ok {
			t.Errorf("in %q: %q, %v", c.args, got, ok)
		}
	}
}
