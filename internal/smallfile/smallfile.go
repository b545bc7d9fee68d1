// Package smallfile reads files that others provide, such as credentials, and waits for none of
// them.
package smallfile

import (
	"io"
	"os"
	"syscall"
	"time"
)

// patience is how long a pipe may take to bring what is in it. Shells pass the output of a
// command as one.
const patience = 10 * time.Second

// Open opens a file for reading. A named pipe that nobody writes to is empty. One that has a
// writer can be read for 10 seconds.
func Open(path string) (*os.File, error) {
	// Without the flag, opening a pipe would wait for a writer, and no signal would end that.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	_ = f.SetReadDeadline(time.Now().Add(patience)) // fails for regular files, which need none
	return f, nil
}

// Read reads a file as Open opens it, up to one byte more than size, so that the caller can tell
// that it is larger.
func Read(path string, size int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, size+1))
}
