package report

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// directory is where the files of a report go, or "" for nowhere.
type directory string

// openDirectory makes the directory where it is absent, and sees now, not when all is read, that it can be written.
func openDirectory(name string) (directory, error) {
	d := directory(name)
	// A report is for others to read, such as the next step of a pipeline under another user.
	if err := os.MkdirAll(name, 0o755); err != nil {
		return "", fmt.Errorf("creating -out: %w", err)
	}
	probe, err := d.create("probe")
	if err != nil {
		return "", fmt.Errorf("writing into -out: %w", err)
	}
	return d, errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// create makes a file of a name that nobody else uses.
func (d directory) create(name string) (*os.File, error) {
	return os.Create(filepath.Join(string(d), "."+name+"."+rand.Text()))
}

// write puts a file into the directory, whole or not at all.
func (d directory) write(name string, content func(io.Writer) error) (err error) {
	f, err := d.create(name)
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
			err = fmt.Errorf("writing %s: %w", name, err)
		}
	}()
	buf := bufio.NewWriter(f)
	if err := errors.Join(content(buf), buf.Flush(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(string(d), name))
}

// write writes the files of the report.
func (r *Report) write(out directory) error {
	if out == "" {
		return nil
	}
	var errs []error
	for name, content := range r.files() {
		errs = append(errs, out.write(name, content))
	}
	return errors.Join(errs...)
}

// archive writes the files of the report as a tar archive, for who can take nothing but a stream from where report runs, such as a
// pod's log.
func (r *Report) archive(w io.Writer) error {
	out := tar.NewWriter(w)
	for name, write := range r.files() {
		var content bytes.Buffer
		if err := write(&content); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
		if err := out.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(content.Len()), ModTime: time.Now()}); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
		if _, err := content.WriteTo(out); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return out.Close()
}

// files are the names of a report's files, and what writes each.
func (r *Report) files() map[string]func(io.Writer) error {
	return map[string]func(io.Writer) error{"report.json": r.writeJSON, "report.md": r.writeMarkdown, "junit.xml": r.writeJUnit}
}

// writeJSON writes a result a line: whole ones are found by grep, and no report is held in memory twice.
func (r *Report) writeJSON(w io.Writer) error {
	summary, err := json.Marshal(r.Summary)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "{\n\"summary\": %s,\n\"results\": [", summary)
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	for i, m := range r.Results {
		line.Reset()
		if err := enc.Encode(m); err != nil {
			return err
		}
		if i > 0 {
			fmt.Fprint(w, ",")
		}
		fmt.Fprintf(w, "\n%s", bytes.TrimRight(line.Bytes(), "\n"))
	}
	_, err = fmt.Fprint(w, "\n]\n}\n")
	return err
}
