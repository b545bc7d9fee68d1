package record

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Names of files in a directory of records. A name that begins with a dot is no record.
const (
	suffix      = ".json"
	lockName    = ".lock"
	maxFileName = 200
)

// lockTime is how long an update waits for others.
const lockTime = 30 * time.Second

// A Directory is a Store that has a file for each record.
type Directory struct{ path string }

// OpenDirectory makes the directory if it is absent. It fails if no file can be made in it, so
// that this is known before a run.
func OpenDirectory(path string) (*Directory, error) {
	d := &Directory{path}
	// Records are for others to read, such as a server of pages under another user.
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, err
	}
	lock, err := d.openLock()
	if err != nil {
		return nil, err
	}
	return d, lock.Close()
}

// ReadDirectory returns a Reader of a directory, which it does not change.
func ReadDirectory(path string) Reader { return &Directory{path} }

// fileName returns the name of the file of a set. The name of a set at a shell is that of its
// directory, or none; what is more than a plain name is escaped.
func fileName(set string) (string, error) {
	name := url.PathEscape(set)
	if strings.HasPrefix(name, ".") {
		name = "%2E" + name[1:]
	}
	if set == "" {
		name = "%"
	}
	if len(name) > maxFileName {
		return "", fmt.Errorf("the name of the image set %.40q is too long for that of a file", set)
	}
	return name + suffix, nil
}

// setOfFile returns the set whose record the file has, and false if it is no record.
func setOfFile(file string) (string, bool) {
	name, ok := strings.CutSuffix(file, suffix)
	if !ok || strings.HasPrefix(file, ".") {
		return "", false
	}
	if name == "%" {
		return "", true
	}
	set, err := url.PathUnescape(name)
	if err != nil {
		return "", false
	}
	same, err := fileName(set)
	return set, err == nil && same == file
}

// List returns the sets that have a record, by name.
func (d *Directory) List(context.Context) ([]Item, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, err
	}
	var items []Item
	for _, e := range entries {
		set, ok := setOfFile(e.Name())
		info, err := e.Info()
		if !ok || err != nil || !info.Mode().IsRegular() {
			continue // it may have been replaced just now
		}
		items = append(items, Item{set, fmt.Sprintf("%x-%x", info.ModTime().UnixNano(), info.Size())})
	}
	return items, nil
}

// Load returns the record of a set.
func (d *Directory) Load(_ context.Context, set string) (*Record, error) {
	name, err := fileName(set)
	if err != nil {
		return nil, err
	}
	content, err := d.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading %s: %w", filepath.Join(d.path, name), ErrNone)
	}
	if err != nil {
		return nil, err
	}
	r, err := Decode(content)
	if err == nil && r.Set != set {
		err = fmt.Errorf("it is the record of %.80q", r.Set)
	}
	if err != nil {
		return nil, &brokenError{filepath.Join(d.path, name), err}
	}
	return r, nil
}

// A brokenError is the error of a file that can be read, but has no record that this program
// understands.
type brokenError struct {
	path string
	err  error
}

func (b *brokenError) Error() string { return b.path + ": " + b.err.Error() }
func (b *brokenError) Unwrap() error { return b.err }

// Is reports that the record is lost, unless a newer version of the program can read it.
func (b *brokenError) Is(target error) bool {
	return target == ErrLost && !errors.Is(b.err, ErrNewer)
}

func (d *Directory) read(name string) ([]byte, error) {
	path := filepath.Join(d.path, name)
	// Opening a pipe would wait for somebody to write to it.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	switch info, err := f.Stat(); {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, &brokenError{path, errors.New("it is not a file")}
	}
	return io.ReadAll(io.LimitReader(f, maxBytes+1))
}

// Update replaces the record of a set. If its file is broken, the file is kept beside a new one.
func (d *Directory) Update(ctx context.Context, set string, change func(*Record) *Record) error {
	name, err := fileName(set)
	if err != nil {
		return err
	}
	unlock, err := d.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	d.sweep()
	old, err := d.Load(ctx, set)
	broken := new(brokenError)
	switch {
	case errors.Is(err, ErrNone):
		old = New(set)
	case errors.Is(err, ErrLost) && errors.As(err, &broken):
		if err := d.putAside(name, broken.err); err != nil {
			return err
		}
		old = New(set)
	case err != nil:
		return err
	}
	next := change(old)
	if next == old {
		return nil
	}
	content, err := next.Encode()
	if err != nil {
		return err
	}
	return d.replace(name, content)
}

// putAside renames a file that cannot be read, so that nothing is lost.
func (d *Directory) putAside(name string, why error) error {
	aside := name + ".broken-" + time.Now().UTC().Format("20060102T150405.000Z")
	slog.Warn("a record cannot be read: it is kept aside, and a new one is begun",
		"directory", d.path, "record", name, "aside", aside, "error", why)
	return os.Rename(filepath.Join(d.path, name), filepath.Join(d.path, aside))
}

// temporary begins the names of files that are being written.
const temporary = ".put-"

// replace gives a file its content. A reader, or whoever comes after a crash, finds all of the old
// content or all of the new.
func (d *Directory) replace(name string, content []byte) error {
	f, err := os.CreateTemp(d.path, temporary)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err := errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(d.path, name)); err != nil {
		return err
	}
	return d.sync()
}

// sync makes renamed files last through a power failure. Not all file systems can.
func (d *Directory) sync() error {
	f, err := os.Open(d.path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil
}

// sweep removes what writers left that died. It needs the lock.
func (d *Directory) sweep() {
	entries, _ := os.ReadDir(d.path)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), temporary) {
			os.Remove(filepath.Join(d.path, e.Name()))
		}
	}
}

func (d *Directory) openLock() (*os.File, error) {
	return os.OpenFile(filepath.Join(d.path, lockName), os.O_RDWR|os.O_CREATE, 0o666)
}

// lock waits until no other process or goroutine updates a record of the directory. The system
// unlocks when a process dies.
func (d *Directory) lock(ctx context.Context) (unlock func(), err error) {
	f, err := d.openLock()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, lockTime)
	defer cancel()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("%s is still locked by another process: check what it does, or run again later", f.Name())
		}
	}
}
