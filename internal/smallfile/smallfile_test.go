package smallfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

func TestReadWaitsForNobody(t *testing.T) {
	dir := t.TempDir()
	file, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "pipe")
	if err := os.WriteFile(file, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path, want string
		size             int64
	}{
		{"a file", file, "0123456789", 10},
		{"a larger file", file, "012345", 5},
		{"a pipe without a writer", pipe, "", 10},
		{"an endless device", "/dev/zero", "\x00\x00\x00", 2},
		{"an empty device", os.DevNull, "", 10},
	} {
		got, err := Read(c.path, c.size)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: got %q, %v, want %q", c.name, got, err, c.want)
		}
	}
	if _, err := Read(filepath.Join(dir, "none"), 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that does not exist: got %v", err)
	}
}

// A shell passes the output of a command as a pipe.
func TestReadOfPipeWithAWriter(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	written := make(chan error, 1)
	go func() {
		_, err := w.WriteString("content")
		written <- errors.Join(err, w.Close())
	}()
	got, err := Read(filepath.Join("/dev/fd", strconv.FormatUint(uint64(r.Fd()), 10)), 100)
	if err := errors.Join(err, <-written); err != nil || string(got) != "content" {
		t.Errorf("got %q, %v", got, err)
	}
}
