package mirror

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
)

// sendMany reads the blob once for several registries. An upload that breaks off gets the blob
// again on its own. So does an upload that wants chunks: it has no slot between chunks, and would
// wait for one while the others wait for it.
func (e *engine) sendMany(bl *blob, sinks []*sink, t Transfer) {
	var together []*sink
	for _, s := range sinks {
		if !s.wantsChunks(bl) {
			together = append(together, s)
		}
	}
	src := e.newSource(bl, sinks[0].turn, t)
	e.fanOut(src, together)
	src.Close()
	for _, s := range sinks {
		switch {
		case errors.Is(s.err, errYielded): // it is queued again
		case !slices.Contains(together, s):
			e.sendOne(bl, s, t)
		case s.err != nil && worthRetrying(s.err):
			// The source knows what it has read, so the upload may continue from there.
			u := &uploader{engine: e, sink: s, src: src}
			u.brokeOn(bl.size, s.err)
			if u.resume() {
				e.retry(s, u.attempt, u.resume)
			}
			src.Close()
		}
	}
}

// fanOut streams the source to all sinks at the pace of the slowest.
func (e *engine) fanOut(src *blobSource, sinks []*sink) {
	if len(sinks) == 0 {
		return
	}
	if err := src.Open(); err != nil {
		for _, s := range sinks {
			s.err = err
		}
		return
	}
	src.from.Feeds()
	var sent sync.WaitGroup
	var pipes []*blobPipe
	for i, s := range sinks {
		if s.err = e.reserve(s, i > 0); s.err != nil {
			continue
		}
		r, w := io.Pipe()
		pipes = append(pipes, &blobPipe{sink: s, r: r, w: w})
		sent.Go(func() {
			defer s.up.Unreserve()
			s.err = s.up.Put(s.ctx, src.blob.digest, r, src.blob.size)
			_ = r.CloseWithError(errUploadEnded)
			e.passOn(s)
		})
	}
	pour(src, slices.Clone(pipes))
	sent.Wait()
	for _, p := range pipes {
		if p.left {
			p.sink.err = errYielded
		}
	}
	if src.err != nil {
		for _, s := range sinks {
			if !s.done {
				s.err = src.err
			}
		}
	}
}

// reserve gets a sink its request slot. All transfers reserve slots in the order of registries, so
// that none waits for another in a circle. The others wait no longer for a slot than a transfer may
// stand still.
func (e *engine) reserve(s *sink, others bool) error {
	if !others {
		return s.up.Reserve(s.turn.ctx)
	}
	ctx, cancel := context.WithTimeoutCause(s.turn.ctx, e.Client.Patience(), errYielded)
	defer cancel()
	return s.up.Reserve(ctx)
}

// A blobPipe leads to a sink.
type blobPipe struct {
	sink *sink
	r    *io.PipeReader
	w    *io.PipeWriter
	left bool // it was so slow that the others did not wait for it
}

// errUploadEnded tells pour that a sink accepts no more.
var errUploadEnded = errors.New("the upload has ended")

// pour copies src to all pipes, and leaves out those that accept no more.
func pour(src *blobSource, pipes []*blobPipe) {
	buf := make([]byte, piece)
	for len(pipes) > 0 {
		n, err := src.Read(buf)
		pipes = slices.DeleteFunc(pipes, func(p *blobPipe) bool {
			src.turn.feeding.Store(p.r)
			_, closed := p.w.Write(buf[:n])
			src.turn.feeding.Store(nil)
			p.left = errors.Is(closed, errYielded)
			if closed == nil && err != nil {
				_ = p.w.CloseWithError(err)
			}
			return closed != nil || err != nil
		})
	}
}
