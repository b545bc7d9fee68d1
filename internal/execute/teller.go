package execute

import (
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"imagemirror/internal/mirror"
	"imagemirror/internal/public"
	"imagemirror/internal/stream"
)

// patience is the time for which an output may accept nothing after an interrupted run.
const patience = time.Second

// errStuck is the error of an output that accepts no results.
var errStuck = errors.New("interrupted, and the output accepts nothing, so they are cut: check what reads them and run again")

// A teller is an Observer that also writes the result of each image when it is known. It has
// a queue, because the engine calls it under its lock, and the output may block for any time.
type teller struct {
	mirror.Observer
	interrupted bool
	traffic     func() []stream.Traffic // of this run so far
	begun       chan struct{}           // closed when all that is known before the first copy is written
	ended       chan struct{}           // closed when nothing more will be written
	err         error                   // valid once ended is closed
	taken       atomic.Int64            // number of writes that the output has accepted

	mu      sync.Mutex
	more    *sync.Cond
	waiting []stream.Result
	last    bool // no more results will come
}

func newTeller(o mirror.Observer) *teller {
	t := &teller{Observer: o, begun: make(chan struct{}), ended: make(chan struct{})}
	t.more = sync.NewCond(&t.mu)
	return t
}

// Image queues the result of an image. The engine calls it under its lock, so it does not
// block.
func (t *teller) Image(o mirror.Outcome) {
	t.interrupted = t.interrupted || errors.Is(o.Err, mirror.ErrInterrupted)
	r := resultOf(o)
	t.mu.Lock()
	t.waiting = append(t.waiting, r)
	t.mu.Unlock()
	t.more.Signal()
	t.Observer.Image(o)
}

// resultOf returns the result of an image.
func resultOf(o mirror.Outcome) stream.Result {
	r := stream.Result{
		ID: o.ID, Status: stream.Copied, Digest: o.Digest, Old: o.Old,
		Bytes: o.Bytes, Seconds: o.Took.Seconds(), Time: time.Now().UTC(), Travelled: countTravelled(o.Travelled),
		Tags: taggedOf(o), Kept: o.Kept,
		Platforms: o.Platforms, Rewritten: o.Rewritten,
	}
	if o.IsCurrent() {
		r.Status = stream.Current
	}
	if o.Err != nil {
		r.Status, r.Error = stream.Failed, stream.ErrorOf(o.Err)
	}
	if o.Err != nil && !public.IsPrivate(o.Err) {
		r.Tags = nil
	}
	if o.Asked {
		r.Public = public.Answer(o.Refusal)
	}
	return r
}

// countTravelled counts attachments by kind, in the order of the kinds.
func countTravelled(all []mirror.Attachment) []stream.Travelled {
	var kinds []stream.Travelled
	named := 0
	for _, a := range all {
		i, there := slices.BinarySearchFunc(kinds, a.Kind, func(t stream.Travelled, kind string) int { return strings.Compare(t.Kind, kind) })
		if !there {
			kinds = slices.Insert(kinds, i, stream.Travelled{Kind: a.Kind})
		}
		switch t := &kinds[i]; {
		case a.Err == nil:
			t.Copied++
			if named < stream.MaxNamed && !slices.Contains(t.Digests, a.Digest) {
				t.Digests = append(t.Digests, a.Digest)
				named++
			}
		case t.Failed == 0:
			t.Error = stream.ErrorOf(a.Err)
			fallthrough
		default:
			t.Failed++
		}
	}
	return kinds
}

// end waits until all results are written and returns the output's error. Once late is
// closed, it gives up if the output accepts nothing for patience.
func (t *teller) end(late <-chan struct{}) error {
	t.mu.Lock()
	t.last = true
	t.mu.Unlock()
	t.more.Signal()
	select {
	case <-t.ended:
		return t.err
	case <-late:
	}
	for {
		before := t.taken.Load()
		select {
		case <-t.ended:
			return t.err
		case <-time.After(patience):
		}
		if t.taken.Load() == before {
			return errStuck
		}
	}
}

// write writes what is known before the first copy, and then the results as they come. On an
// error it calls stop, which ends the run: images whose result cannot be written are not
// started.
func (t *teller) write(p *Batch, w io.Writer, stop func()) {
	defer close(t.ended)
	out := stream.NewWriter(counting{w, &t.taken}, p.header)
	p.begin(out)
	if t.err = out.Err(); t.err != nil {
		return
	}
	close(t.begun)
	for last := false; !last; {
		var results []stream.Result
		results, last = t.next()
		for _, r := range results {
			out.Result(r)
			if t.err = out.Err(); t.err != nil {
				stop()
				return
			}
		}
	}
	if t.interrupted {
		out.Interrupted()
	}
	out.Traffic(t.traffic(), p.planned)
	t.err = out.End()
}

// begin writes what is known before the first copy.
func (p *Batch) begin(out *stream.Writer) {
	for _, s := range p.sets {
		out.Set(s)
	}
	for _, s := range p.selected {
		out.Selection(s)
	}
	for _, m := range p.mappings {
		out.Mapping(m)
	}
	for _, r := range p.results {
		out.Result(r)
	}
	out.Flush()
}

// next waits for results that are not written yet. It reports whether they are the last ones.
func (t *teller) next() (results []stream.Result, last bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.waiting) == 0 && !t.last {
		t.more.Wait()
	}
	results, t.waiting = t.waiting, nil
	return results, t.last
}

// A counting counts the successful calls of a writer.
type counting struct {
	io.Writer
	taken *atomic.Int64
}

func (c counting) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.taken.Add(1)
	return n, err
}
