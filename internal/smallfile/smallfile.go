// Package smallfile reads files that others provide, such as credentials, without hanging on named
// pipes and devices.
package smallfile

import (
	"io"
	"os"
	"syscall"
	"time"
)

// patience bounds reading from a pipe. Shells pass the output of a command as a pipe.
const patience = 10 * time.Second

// Open opens a file for reading. A named pipe without a writer reads as empty. One with a writer
// can be read for 10 seconds.
func Open(path string) (*os.File, error) {
	// Without O_NONBLOCK, opening a pipe waits for a writer, and no signal ends that.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	_ = f.SetReadDeadline(time.Now().Add(patience)) // fails for regular files, which need none
	return f, nil
}

// Read opens a file with Open and reads at most size+1 bytes. More than size bytes tell the caller
// that the file is too large.
func Read(path string, size int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, size+1))
}
