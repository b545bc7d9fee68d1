package split

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"imagemirror/internal/command"
)

// TestMain lets the test binary run as the command.
func TestMain(m *testing.M) {
	if os.Getenv("BE_SPLIT") == "1" {
		command.Main(Command())
	}
	os.Exit(m.Run())
}

const conf = `
[[registry]]
location = "a.example"
blocked = true
`

// A plan that does not fit on the file system of -out is not a refusal. One line names the plan.
func TestFullFileSystemIsNoRefusal(t *testing.T) {
	if err := exec.CommandContext(t.Context(), "unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", t.TempDir()).Run(); err != nil {
		t.Skipf("this machine lets nobody mount a small file system: %v", err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	mappings := "" // nothing is asked for them: they are failed at once, in some 20 KB
	for i := range 100 {
		mappings += fmt.Sprintf("a.example/image:v%d b.example/image:v%d\n", i, i)
	}
	for name, text := range map[string]string{"mapping_x": mappings, "OWNERS": "approvers: [ann]\n", "registries.conf": conf} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, size, stderr string }{
		{"of bytes", "size=4k", "split: writing the plan to full/plan: write full/plan/"},
		{"of files", "nr_inodes=1", "split: -out: mkdir full/plan: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "unshare", "-rm", "sh", "-c",
				`mount -t tmpfs -o "$1" tmpfs full && exec "$2" -out full/plan mapping_x`, "sh", c.size, self)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "BE_SPLIT=1", "MIRROR_REGISTRIES_CONF=registries.conf")
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			err := cmd.Run()
			if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Errorf("%v, want exit status 1", err)
			}
			got := stderr.String()
			if !strings.HasPrefix(got, c.stderr) || !strings.HasSuffix(got, ": no space left on device\n") || strings.Count(got, "\n") != 1 {
				t.Errorf("stderr is\n%swant one line that begins with %q and ends with the cause", got, c.stderr)
			}
		})
	}
}
