package stream

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"

	"imagemirror/internal/manifest"
)

// Bounds on the input.
const (
	maxLine    = manifest.MaxSize*4/3 + 64<<10
	maxRecords = 4 << 20
)

// errNoStream is the error of input that is something else.
var errNoStream = errors.New("the first record is not a header: give the output of split or copy")

// ErrEmpty is the error of Read for input of no bytes.
var ErrEmpty = errors.New("the input is empty: check the command that should have written it")

var errBehindEnd = errors.New("a record comes after the end record: put each stream into its own file")

// A Content is a whole stream.
type Content struct {
	Name      string // of the input, for messages
	Header    Header
	Sets      []Set
	Selected  []Selection
	Mappings  []Mapping
	Manifests iter.Seq[manifest.Raw] // each once; nil after Skim
	Archive   *manifest.Archive      // has them, after Read, and maybe others; nil after Skim
	Copies    []Copy
	Results   []Result
	End       *End      // nil if the stream is cut or not written yet
	Traffic   []Traffic // End's Registries, once it is written
	Cut       error     // tells where the stream is cut, or nil
}

// Read reads a stream to its end. It fails with ErrEmpty or with an error that names the
// line. It returns a stream that is cut, but otherwise correct, with Cut set: the caller
// decides what that means.
func Read(r io.Reader, name string) (*Content, error) {
	d := newDecoder(name)
	d.c.Archive = manifest.NewArchive()
	c, err := read(r, d)
	if err == nil {
		c.Manifests = c.Archive.All(d.manifests)
	}
	return c, err
}

// Skim reads as Read does, but drops the manifests, which are nearly all bytes of a plan. It
// checks them like all other records.
func Skim(r io.Reader, name string) (*Content, error) {
	return read(r, newDecoder(name))
}

// SkimNext reads as Skim does, but only up to the end of a stream that others follow.
func SkimNext(r *bufio.Reader, name string) (*Content, error) {
	d := newDecoder(name)
	d.one = true
	return read(r, d)
}

func read(r io.Reader, d *decoder) (*Content, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	name := d.c.Name
	var line []byte
	for !d.one || d.c.End == nil {
		var err error
		line, err = readLine(in, line[:0])
		if err == io.EOF && len(line) == 0 {
			break
		}
		d.line++
		if err == io.EOF {
			// Without a newline, the stream was cut within the line.
			if d.c.End != nil {
				return nil, fmt.Errorf("%s:%d: %w", name, d.line, errBehindEnd)
			}
			if d.line == 1 && !bytes.HasPrefix(line, []byte(`{"header"`)) {
				return nil, fmt.Errorf("%s:1: %w", name, errNoStream)
			}
			d.cut = fmt.Errorf("%s:%d: the stream is cut within a line", name, d.line)
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, d.line, err)
		}
		if err := d.add(line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, d.line, err)
		}
	}
	switch {
	case d.line == 0:
		return nil, fmt.Errorf("%s: %w", name, ErrEmpty)
	case d.c.Header.Version == 0:
		return nil, fmt.Errorf("%s: the stream is cut before its header ends", name)
	case d.c.End != nil:
		return d.c, nil
	case d.cut == nil:
		d.cut = fmt.Errorf("%s:%d: the stream is cut: its end record is missing", name, d.line)
	}
	d.c.Cut = d.cut
	return d.c, nil
}

// readLine appends the next line to line, without its newline. If none ends it, the error is
// io.EOF.
func readLine(in *bufio.Reader, line []byte) ([]byte, error) {
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) > maxLine {
			return nil, fmt.Errorf("a line is longer than %d bytes: give the output of split or copy", maxLine)
		}
		line = append(line, part...)
		if err == bufio.ErrBufferFull {
			continue
		}
		if err == nil {
			line = line[:len(line)-1]
		}
		return line, err
	}
}
