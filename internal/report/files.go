package report

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// A File is one format of a report, as a file.
type File struct {
	Name  string
	Write func(io.Writer) error
}

// Files returns the report's files.
func (r *Report) Files() []File {
	files := []File{
		{"report.json", r.WriteJSON},
		{"report.md", r.WriteMarkdown},
		{"junit.xml", r.WriteJUnit},
	}
	if r.locked != nil {
		files = append(files, File{LockFile, r.WriteLock})
	}
	return files
}

// WriteTar writes the report's files as a tar archive, for callers that can only read a stream
// from where report runs, such as a pod's log.
func (r *Report) WriteTar(w io.Writer) error {
	out := tar.NewWriter(w)
	for _, file := range r.Files() {
		var content bytes.Buffer
		if err := file.Write(&content); err != nil {
			return fmt.Errorf("writing %s: %w", file.Name, err)
		}
		header := &tar.Header{Name: file.Name, Mode: 0o644, Size: int64(content.Len()), ModTime: time.Now()}
		if err := out.WriteHeader(header); err != nil {
			return fmt.Errorf("writing %s: %w", file.Name, err)
		}
		if _, err := content.WriteTo(out); err != nil {
			return fmt.Errorf("writing %s: %w", file.Name, err)
		}
	}
	return out.Close()
}

// An Output takes the files of a report. The zero Output takes none.
type Output struct{ path string }

// OpenOutput makes the directory if it is absent. It fails if no file can be made there, so
// that this is known before a report is.
func OpenOutput(path string) (Output, error) {
	d := Output{path}
	// A report is for others to read, such as the next step of a pipeline under another user.
	if err := os.MkdirAll(path, 0o755); err != nil {
		return d, err
	}
	probe, err := d.create("probe")
	if err != nil {
		return d, err
	}
	return d, errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// Write writes the files of the report: all of them whole, or none if one cannot be written. Those
// of an earlier report are replaced once all are written, report.json last.
func (d Output) Write(r *Report) error { return d.writeAll(r.Files()) }

// WriteFile writes a file whole or not at all.
func (d Output) WriteFile(file File) error { return d.writeAll([]File{file}) }

// writeAll writes files under temporary names, and renames them in reverse once all are written. A
// full disk leaves the files that were there before.
func (d Output) writeAll(files []File) error {
	if d.path == "" {
		return nil
	}
	var written []string
	defer func() {
		for _, name := range written {
			os.Remove(name) // those that were not renamed
		}
	}()
	for _, file := range files {
		name, err := d.write(file)
		if err != nil {
			return fmt.Errorf("writing %s: %w", file.Name, err)
		}
		written = append(written, name)
	}
	for i, file := range slices.Backward(files) {
		if err := os.Rename(written[i], filepath.Join(d.path, file.Name)); err != nil {
			return fmt.Errorf("writing %s: %w", file.Name, err)
		}
	}
	return nil
}

// write writes a file under a temporary name, which it returns.
func (d Output) write(file File) (name string, err error) {
	f, err := d.create(file.Name)
	if err != nil {
		return "", err
	}
	buf := bufio.NewWriter(f)
	if err := errors.Join(file.Write(buf), buf.Flush(), f.Close()); err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

// create makes a temporary file, under a name that nobody else uses.
func (d Output) create(name string) (*os.File, error) {
	return os.Create(filepath.Join(d.path, "."+name+"."+rand.Text()))
}
