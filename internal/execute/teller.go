package execute

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"imagemirror/internal/mirror"
	"imagemirror/internal/stream"
)

// patience is how long an output may take nothing when the run was interrupted and all else is over.
const patience = time.Second

// errStuck is why results are not written.
var errStuck = errors.New("interrupted, and the output takes none: they are cut; see what reads them, and run again")

// teller writes each image's result as it is known, and tells the observer. Between the engine and the output is a queue:
// the engine tells of images under its lock, and an output may take nothing for as long as it likes.
type teller struct {
	mirror.Observer
	interrupted bool
	begun       chan struct{} // closed when the output has taken all that was known before
	ended       chan struct{} // closed when nothing more is written
	err         error         // why not all is written; holds when ended is closed
	taken       atomic.Int64  // pieces that the output has taken

	mu      sync.Mutex
	more    *sync.Cond
	waiting []stream.Result
	last    bool // no more results come
}

func newTeller(o mirror.Observer) *teller {
	t := &teller{Observer: o, begun: make(chan struct{}), ended: make(chan struct{})}
	t.more = sync.NewCond(&t.mu)
	return t
}

// Image is called under the engine's lock, one at a time. It does not wait.
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
		Bytes: o.Bytes, Seconds: o.Took.Seconds(),
	}
	if o.Err != nil {
		r.Status, r.Error = stream.Failed, stream.ErrorOf(o.Err)
	}
	return r
}

// end waits until all results are written and returns the output's error. From late on the output has to take something.
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

// write writes what the plan knows, and then the results as they come. On an error it ends the run with stop: what cannot
// be told of is not begun.
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
	t.err = out.End()
}

// begin writes what is known before any image is copied.
func (p *Batch) begin(out *stream.Writer) {
	for _, s := range p.sets {
		out.Set(s)
	}
	for _, m := range p.mappings {
		out.Mapping(m)
	}
	for _, r := range p.results {
		out.Result(r)
	}
	out.Flush()
}

// next waits for results that are not written, and says whether they are the last ones.
func (t *teller) next() (results []stream.Result, last bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.waiting) == 0 && !t.last {
		t.more.Wait()
	}
	results, t.waiting = t.waiting, nil
	return results, t.last
}

// counting counts the pieces that a writer takes.
type counting struct {
	io.Writer
	taken *atomic.Int64
}

func (c counting) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.taken.Add(1)
	return n, err
}
