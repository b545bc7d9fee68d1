package plan

import (
	"io"

	"imagemirror/internal/stream"
)

// Writer is where a plan goes: ToStream, ToDirectory or ToParts.
type Writer interface {
	begin(stream.Header, []stream.Set, []*target) writing
}

// writing is a plan that is being written. manifest and settled may be called by several goroutines at once.
type writing interface {
	manifest(stream.Manifest)
	settled(stream.Result)
	end([]stream.Copy, *Totals, *trees) error
}

// ToStream writes the plan as one stream, as it is made.
func ToStream(w io.Writer) Writer { return toStream{w} }

type toStream struct{ w io.Writer }

type streaming struct{ *stream.Writer }

func (t toStream) begin(h stream.Header, sets []stream.Set, targets []*target) writing {
	w := stream.NewWriter(t.w, h)
	for _, s := range sets {
		w.Set(s)
	}
	for _, t := range targets {
		w.Mapping(t.Mapping)
	}
	w.Flush()
	return streaming{w}
}

func (s streaming) manifest(m stream.Manifest) { s.Manifest(m) }
func (s streaming) settled(r stream.Result)    { s.Result(r) }

func (s streaming) end(copies []stream.Copy, _ *Totals, _ *trees) error {
	for _, c := range copies {
		s.Copy(c)
	}
	return s.End()
}
