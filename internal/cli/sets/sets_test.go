package sets

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMissingDirectoriesAreNamed(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("file", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "image-sets: no directory of image sets is there"},
		{[]string{"gone"}, "gone: no directory of image sets is there"},
		{[]string{"file"}, "file is not a directory"},
	} {
		if err := run(t.Context(), c.args); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %q", c.args, err, c.want)
		}
	}
}

func TestAFailedWriteToStandardOutputIsAnError(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	base := filepath.Join(t.TempDir(), "base")
	if err := os.Mkdir(base, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(base, "kustomization.yaml"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	defer func() { os.Stdout = stdout }()
	os.Stdout = full
	if err := run(t.Context(), []string{filepath.Dir(base)}); err == nil {
		t.Error("the names of the changed files are lost without an error")
	}
}
