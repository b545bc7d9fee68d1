package stream

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"
)

func TestResultIsHandedOnAtOnce(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b, Header{Stream: Results, Mappings: 1})
	w.Mapping(Mapping{ID: 1, Source: "a", Destination: "b"})
	if b.Len() != 0 {
		t.Errorf("%d bytes are written before there is a result", b.Len())
	}
	w.Result(Result{ID: 1, Status: Current})
	if !strings.HasSuffix(b.String(), lines(`{"result":{"id":1,"status":"current"}}`)) {
		t.Errorf("the result is held back: %q is written", b.String())
	}
}

func TestWriterIsForManyGoroutines(t *testing.T) {
	const n = 50
	var b bytes.Buffer
	w := NewWriter(&b, Header{Stream: Results, Mappings: n})
	for id := range n {
		w.Mapping(Mapping{ID: id, Source: "a", Destination: "b"})
	}
	var group sync.WaitGroup
	for id := range n {
		group.Go(func() { w.Result(Result{ID: id, Status: Current}) })
	}
	group.Wait()
	if err := w.End(); err != nil {
		t.Fatal(err)
	}
	got, err := Read(&b, "in")
	if err != nil || len(got.Results) != n {
		t.Errorf("got %+v, %v; want %d results", got, err, n)
	}
}

// full is a disk with room for some bytes.
type full struct{ room int }

var errFull = errors.New("no space left")

func (f *full) Write(p []byte) (int, error) {
	if len(p) > f.room {
		return 0, errFull
	}
	f.room -= len(p)
	return len(p), nil
}

func TestFirstErrorSticks(t *testing.T) {
	w := NewWriter(&full{room: 200}, Header{Stream: Results, Mappings: 2})
	w.Mapping(Mapping{ID: 1, Source: "a", Destination: "b"})
	w.Result(Result{ID: 1, Status: Current, Digest: strings.Repeat("x", 500)})
	w.Result(Result{ID: 2, Status: Current})
	if err := w.End(); !errors.Is(err, errFull) {
		t.Errorf("End is %v, want %v", err, errFull)
	}
}

// A writer fails rather than write a line that no reader accepts.
func TestLinesThatNobodyReadsAreNotWritten(t *testing.T) {
	for _, c := range []struct {
		name string
		size int
		bad  bool
	}{{"the longest", maxLine - len(`{"set":{"name":""}}`) - 1, false}, {"one byte more", maxLine - len(`{"set":{"name":""}}`), true}} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			_, err := Write(&b, &Content{Header: Header{Stream: Plan}, Sets: []Set{{Name: strings.Repeat("x", c.size)}}})
			if c.bad != (err != nil) || c.bad && b.Len() > 1000 {
				t.Errorf("%v, %d bytes", err, b.Len())
			}
			if _, err := Skim(&b, "plan"); !c.bad && err != nil {
				t.Error(err)
			}
		})
	}
}
