package atomicfile_test

import (
	"os"
	"path/filepath"
	"testing"

	"imagemirror/internal/atomicfile"
)

// TestWriteReplacesWholeFiles writes over nothing, a file and a link, and into a directory that
// does not exist.
func TestWriteReplacesWholeFiles(t *testing.T) {
	dir := t.TempDir()
	for name, before := range map[string]func(path string) error{
		"nothing": func(string) error { return nil },
		"file":    func(path string) error { return os.WriteFile(path, []byte("old and longer"), 0o600) },
		"link":    func(path string) error { return os.Symlink(filepath.Join(dir, "elsewhere"), path) },
	} {
		path := filepath.Join(dir, name)
		if err := before(path); err != nil {
			t.Fatal(err)
		}
		if err := atomicfile.Write(path, []byte("new")); err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(path)
		if err != nil || info.Mode() != 0o644 {
			t.Errorf("%s is now %v, %v: want a file with mode 0644", name, info, err)
		}
		if content, err := os.ReadFile(path); string(content) != "new" {
			t.Errorf("%s has %q, %v", name, content, err)
		}
	}
	if entries, err := os.ReadDir(dir); len(entries) != 3 {
		t.Errorf("the directory has %v, %v: want the three files alone", entries, err)
	}
	if err := atomicfile.Write(filepath.Join(dir, "missing", "file"), nil); !os.IsNotExist(err) {
		t.Errorf("writing into a directory that is missing: %v", err)
	}
}

// TestWriteThatFailsLeavesTheFile cannot rename over a directory that is not empty.
func TestWriteThatFailsLeavesTheFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "full", "of")
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Write(filepath.Dir(path), []byte("new")); err == nil {
		t.Error("a directory was replaced by a file")
	}
	if entries, err := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("the directory has %v, %v: want no temporary file", entries, err)
	}
}
