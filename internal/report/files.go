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
	"time"
)

// A File is one format of a report, as a file.
type File struct {
	Name  string
	Write func(io.Writer) error
}

// Files returns the report's files.
func (r *Report) Files() []File {
	return []File{
		{"report.json", r.WriteJSON},
		{"report.md", r.WriteMarkdown},
		{"junit.xml", r.WriteJUnit},
	}
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

// A Directory takes the files of a report. The zero Directory takes none.
type Directory struct{ path string }

// OpenDirectory makes the directory if it is absent. It fails if no file can be made there, so
// that this is known before a report is.
func OpenDirectory(path string) (Directory, error) {
	d := Directory{path}
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

// Write writes the files of the report, each of them whole or not at all.
func (d Directory) Write(r *Report) error {
	if d.path == "" {
		return nil
	}
	var errs []error
	for _, file := range r.Files() {
		errs = append(errs, d.WriteFile(file))
	}
	return errors.Join(errs...)
}

// WriteFile writes a file whole or not at all.
func (d Directory) WriteFile(file File) error {
	if d.path == "" {
		return nil
	}
	if err := d.write(file); err != nil {
		return fmt.Errorf("writing %s: %w", file.Name, err)
	}
	return nil
}

func (d Directory) write(file File) (err error) {
	f, err := d.create(file.Name)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	buf := bufio.NewWriter(f)
	if err := errors.Join(file.Write(buf), buf.Flush(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(d.path, file.Name))
}

// create makes a temporary file, under a name that nobody else uses.
func (d Directory) create(name string) (*os.File, error) {
	return os.Create(filepath.Join(d.path, "."+name+"."+rand.Text()))
}
