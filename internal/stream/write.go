package stream

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"imagemirror/internal/manifest"
)

// A Writer writes one stream. Its methods are safe for concurrent use. It keeps its first
// error, which End returns, so the other calls need not be checked.
type Writer struct {
	mu  sync.Mutex
	buf *bufio.Writer
	enc *json.Encoder
	end End
	err error
}

// NewWriter starts a stream on w. It sets the version of the header.
func NewWriter(w io.Writer, h Header) *Writer {
	buf := bufio.NewWriterSize(w, 64<<10)
	enc := json.NewEncoder(lineWriter{buf})
	enc.SetEscapeHTML(false)
	sw := &Writer{buf: buf, enc: enc}
	h.Version = Version
	sw.err = enc.Encode(record{Header: &h})
	return sw
}

// A lineWriter writes lines, one a call, unless they are longer than a reader accepts.
type lineWriter struct{ *bufio.Writer }

func (w lineWriter) Write(line []byte) (int, error) {
	if len(line) > maxLine {
		return 0, fmt.Errorf("a record has %d bytes, and at most %d are read: %.80q", len(line), maxLine, line)
	}
	return w.Writer.Write(line)
}

// Write writes a whole stream and returns its end record.
func Write(w io.Writer, c *Content) (*End, error) {
	sw := NewWriter(w, c.Header)
	for _, s := range c.Sets {
		sw.Set(s)
	}
	for _, s := range c.Selected {
		sw.Selection(s)
	}
	for _, m := range c.Mappings {
		sw.Mapping(m)
	}
	for _, r := range c.Results {
		sw.write(record{Result: &r})
	}
	if c.Manifests != nil {
		for m := range c.Manifests {
			sw.Manifest(m)
		}
	}
	for _, one := range c.Copies {
		sw.Copy(one)
	}
	sw.Traffic(c.Traffic, nil)
	if e := c.End; e != nil {
		sw.Traffic(e.Registries, e.PlanRegistries)
		sw.end.Interrupted = e.Interrupted
	}
	err := sw.End()
	end := sw.end // a pointer into the Writer would keep its buffers
	return &end, err
}

// Set writes a set record.
func (w *Writer) Set(s Set) { w.write(record{Set: &s}) }

// Selection writes a selection record.
func (w *Writer) Selection(s Selection) { w.write(record{Selection: &s}) }

// Mapping writes a mapping record.
func (w *Writer) Mapping(m Mapping) { w.write(record{Mapping: &m}) }

// Manifest writes a manifest record.
func (w *Writer) Manifest(m manifest.Raw) { w.write(record{Manifest: &m}) }

// Copy writes a copy record.
func (w *Writer) Copy(c Copy) { w.write(record{Copy: &c}) }

// Result writes a result record and flushes. The reader learns of each image when it is done,
// and a writer that is killed has reported what it did.
func (w *Writer) Result(r Result) {
	w.write(record{Result: &r})
	w.Flush()
}

// Flush writes what is buffered.
func (w *Writer) Flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = w.buf.Flush()
	}
}

// Err returns the first error so far. After an error, nothing more is written.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Interrupted marks the stream as interrupted in its end record.
func (w *Writer) Interrupted() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end.Interrupted = true
}

// Traffic puts into the end record what was asked of registries: by the command that writes, and by
// the split that made its plan. It leaves out those that were asked least if there are very many.
func (w *Writer) Traffic(own, planned []Traffic) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end.Registries, w.end.PlanRegistries = busiest(own), busiest(planned)
}

// End writes the end record, flushes, and returns the first error of the stream. It does not
// close the underlying writer.
func (w *Writer) End() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end.Ended = time.Now().UTC()
	if w.err == nil {
		w.err = w.enc.Encode(record{End: &w.end})
	}
	if w.err == nil {
		w.err = w.buf.Flush()
	}
	return w.err
}

// busiest returns half of maxTraffic at most.
func busiest(list []Traffic) []Traffic {
	if len(list) <= maxTraffic/2 {
		return list
	}
	by := slices.Clone(list)
	slices.SortStableFunc(by, func(a, b Traffic) int { return cmp.Compare(b.Requests, a.Requests) })
	return by[:maxTraffic/2]
}

func (w *Writer) write(r record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = w.enc.Encode(r)
		w.end.Records++
	}
}
