package mirror

import (
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
	src := e.newSource(bl, t)
	e.fanOut(src, together)
	src.Close()
	for _, s := range sinks {
		switch {
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
	var pipes []*io.PipeWriter
	for _, s := range sinks {
		// All transfers reserve slots in the order of registries, so that none waits for another in a
		// circle.
		if s.err = s.up.Reserve(s.ctx); s.err != nil {
			continue
		}
		r, w := io.Pipe()
		pipes = append(pipes, w)
		sent.Go(func() {
			defer s.up.Unreserve()
			s.err = s.up.Put(s.ctx, src.blob.digest, r, src.blob.size)
			_ = r.CloseWithError(errUploadEnded)
		})
	}
	pour(src, pipes)
	sent.Wait()
	if src.err != nil {
		for _, s := range sinks {
			s.err = src.err
		}
	}
}

// errUploadEnded tells pour that a sink accepts no more.
var errUploadEnded = errors.New("the upload has ended")

// pour copies src to all pipes, and leaves out those that accept no more.
func pour(src *blobSource, pipes []*io.PipeWriter) {
	buf := make([]byte, piece)
	for len(pipes) > 0 {
		n, err := src.Read(buf)
		pipes = slices.DeleteFunc(pipes, func(w *io.PipeWriter) bool {
			if _, closed := w.Write(buf[:n]); closed != nil {
				return true
			}
			if err != nil {
				_ = w.CloseWithError(err)
			}
			return err != nil
		})
	}
}
