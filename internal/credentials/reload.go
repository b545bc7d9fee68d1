package credentials

import (
	"log/slog"
	"os"
	"sync"
)

// reloadedFile is a file that is read anew when it is another one: a secret that is rotated while a run goes on. Kubernetes
// puts another file in the place of a mounted secret's, and docker login does so, too.
type reloadedFile struct {
	candidate

	mu   sync.Mutex
	seen os.FileInfo // of the file that was read last; nil where there was none
	file *file
}

// first reads the file for the first time, when what is wrong with it is an error.
func (w *reloadedFile) first() (err error) {
	w.seen, _ = os.Stat(w.path)
	w.file, err = w.read()
	return err
}

// current is the file as it is now. One that is gone, or that cannot be read any more, leaves what was read before: whether that is
// still good is for the registries to say.
func (w *reloadedFile) current() *file {
	info, err := os.Stat(w.path)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil || sameFile(info, w.seen) {
		return w.file
	}
	w.seen = info
	f, err := w.read()
	switch {
	case err != nil:
		slog.Warn("going on with the credentials that were read before", "reason", err)
	case f != nil:
		slog.Info("read credentials anew", "file", w.path)
		w.file = f
	}
	return w.file
}

func sameFile(a, b os.FileInfo) bool {
	return b != nil && os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
