package state

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// A directory keeps each object in its own file.
type directory struct{ path string }

// openDirectory creates the run's directory if it does not exist.
func openDirectory(p Location) (Store, error) {
	d := directory{filepath.Join(p.State, p.Run)}
	// The pods of a run may have different users.
	if err := os.MkdirAll(d.path, 0o755); err != nil {
		return nil, fmt.Errorf("MIRROR_STATE: %w", err)
	}
	return d, nil
}

func (d directory) Put(_ context.Context, name string, write func(io.Writer) error) error {
	if err := checkName(name); err != nil {
		return err
	}
	f, err := os.CreateTemp(d.path, ".put-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	out := bufio.NewWriterSize(f, 64<<10)
	if err := errors.Join(write(out), out.Flush(), f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return nameFile(f.Name(), filepath.Join(d.path, name))
}

// nameFile gives a file its name, or fails with ErrExists. On a file system without links it
// checks and renames in two steps, so it may miss that another writer claims the name at the
// same moment.
func nameFile(temporary, name string) error {
	err := os.Link(temporary, name)
	if err == nil {
		return nil
	}
	if _, known := os.Lstat(name); known == nil {
		return failed("writing", name, ErrExists)
	}
	if os.Rename(temporary, name) == nil {
		return nil
	}
	return err
}

func (d directory) Get(_ context.Context, name string, limit int64, read func(io.Reader) error) error {
	if err := checkName(name); err != nil {
		return err
	}
	path := filepath.Join(d.path, name)
	// Opening a pipe would wait for somebody to write to it.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return failed("reading", path, ErrNotThere)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	switch info, err := f.Stat(); {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return failed("reading", path, errors.New("it is not a file: start a new run"))
	case info.Size() > limit:
		return failed("reading", path, fmt.Errorf("it has %d bytes, and at most %d are allowed: start a new run", info.Size(), limit))
	}
	return read(io.LimitReader(f, limit))
}
