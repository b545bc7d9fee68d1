package credentials

import (
	"log/slog"
	"os"
	"sync"
)

// A reloadedFile is read again when it was replaced, so that a secret can be rotated
// during a run. Kubernetes replaces the file of a mounted secret, and so does docker
// login.
type reloadedFile struct {
	location

	mu   sync.Mutex
	seen os.FileInfo // of the file that was read last; nil if there was none
	file *file
}

// first reads the file for the first time. Only then is a broken file an error.
func (f *reloadedFile) first() (err error) {
	f.seen, _ = os.Stat(f.path)
	f.file, err = f.read()
	return err
}

// current returns the file as it is now. If it is gone or cannot be read, current
// returns what was read before: registries will tell whether that is still valid.
func (f *reloadedFile) current() *file {
	info, err := os.Stat(f.path)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil || sameFile(info, f.seen) {
		return f.file
	}
	f.seen = info
	read, err := f.read()
	switch {
	case err != nil:
		slog.Warn("keeping the credentials read before", "reason", err)
	case read != nil:
		slog.Info("reloaded credentials", "file", f.path)
		f.file = read
	}
	return f.file
}

// sameFile reports whether a file has not been replaced or changed.
func sameFile(a, b os.FileInfo) bool {
	return b != nil && os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
