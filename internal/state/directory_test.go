package state

import (
	"os"
	"path/filepath"
	"testing"
)

func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	open := func(t *testing.T, run string) Store {
		s, err := openDirectory(Location{State: dir, Run: run})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	testStore(t, open)
	t.Run("run", func(t *testing.T) { testRun(t, open) })
	testPieces(t, open)
	left, err := filepath.Glob(filepath.Join(dir, "*", ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("temporary files are left: %v, %v", left, err)
	}
}

// Some file systems have no links.
func TestPlaceWithoutLinks(t *testing.T) {
	dir := t.TempDir()
	folder, name := filepath.Join(dir, "folder"), filepath.Join(dir, "name") // nobody may link a folder
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := nameFile(folder, name); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(name); err != nil {
		t.Error(err)
	}
}
