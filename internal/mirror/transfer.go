package mirror

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"imagemirror/internal/registry"
	"imagemirror/internal/retry"
)

const (
	small    = 128 << 10 // bytes up to which a blob is held in memory, so that no place waits for another
	piece    = 256 << 10 // bytes that are handed on at once where a blob goes to several registries
	resuming = 8 << 20   // bytes from which on an upload that broke off is taken up where it broke
	chunk    = 16 << 20  // bytes of a part, for registries that refuse large bodies

	corruptTries = 6 // readings of a blob whose content is not what its digest says
	refusedTries = 3 // uploads that are refused where that may be by chance
)

// send uploads a blob to the sinks, each of which has an upload open, and notes in each what became of it.
func (e *engine) send(bl *blob, sinks []*sink) {
	if len(sinks) == 0 {
		return
	}
	registries := int64(len(sinks))
	t := e.Observer.Blob(bl.digest, sinks[0].place.repo.to.Name(), registries*bl.size)
	if registries > 1 {
		t = several{t, registries}
	}
	switch {
	case bl.size <= small:
		e.sendSmall(bl, sinks, t)
	case len(sinks) == 1:
		e.sendOne(bl, sinks[0], t)
	default:
		e.sendMany(bl, sinks, t)
	}
	var failed error
	for _, s := range sinks {
		if s.err != nil {
			failed = s.err
		}
	}
	t.Done(failed)
}

// several is a transfer to several registries, of which each byte counts for all.
type several struct {
	Transfer
	registries int64
}

func (s several) Add(n int64) { s.Transfer.Add(n * s.registries) }

// sendSmall reads the blob first and then sends it: the source's place in flight is free again at once, and no
// byte that is not known to be right leaves.
func (e *engine) sendSmall(bl *blob, sinks []*sink, t Transfer) {
	b, err := e.read(bl, t)
	if err != nil {
		for _, s := range sinks {
			s.err = err
		}
		return
	}
	var sent sync.WaitGroup
	for _, s := range sinks {
		sent.Go(func() {
			e.retry(s, func() error { return s.up.PutBytes(e.work, bl.digest, b) }, func() bool { return e.reopen(s) })
		})
	}
	sent.Wait()
}

// read reads a whole blob, from the beginning again where its content is not what it should be.
func (e *engine) read(bl *blob, t Transfer) ([]byte, error) {
	src := e.source(bl, t)
	defer src.Close()
	b := make([]byte, bl.size)
	err := e.policy().Do(e.work, func(n int) (time.Duration, error) {
		if n > 1 {
			src.seek(0)
		}
		_, err := io.ReadFull(src, b)
		var corrupt *corruptError
		if !errors.As(err, &corrupt) || n >= e.triesFor(err) {
			return retry.Never, err
		}
		return 0, err
	})
	return b, err
}

// policy returns how transfers that broke off are retried.
func (e *engine) policy() retry.Policy {
	return retry.Policy{Tries: e.Client.Retries(), First: 400 * time.Millisecond, Max: 5 * time.Second, Immediate: true}
}

// retry makes attempts at an upload as long as another may help. Between them reopen gets the sink an upload that
// can be used, or says false: the registry has the blob after all, or refuses.
func (e *engine) retry(s *sink, attempt func() error, reopen func() bool) {
	_ = e.policy().Do(e.work, func(n int) (time.Duration, error) {
		if n > 1 && !reopen() {
			return retry.Never, s.err
		}
		err := attempt()
		s.err = tried(err, n)
		if n >= e.triesFor(err) || !worthAnother(err) {
			return retry.Never, err
		}
		return 0, err
	})
}

// tried notes in a destination's error how many attempts there were.
func tried(err error, attempts int) error {
	known, ok := err.(*registry.Error)
	if !ok || known.Side != registry.Destination || known.Tries >= attempts {
		return err
	}
	e := *known
	e.Tries = attempts
	return &e
}

// triesFor is how many attempts a transfer gets.
func (e *engine) triesFor(err error) int {
	var corrupt *corruptError
	switch status := registry.StatusOf(err); {
	case errors.As(err, &corrupt):
		return min(corruptTries, e.Client.Retries())
	case status == http.StatusBadRequest || status == http.StatusUnauthorized:
		return min(refusedTries, e.Client.Retries())
	}
	return e.Client.Retries()
}

// reopen begins an upload anew.
func (e *engine) reopen(s *sink) bool {
	e.open(e.work, s, "")
	return s.up != nil
}

// worthAnother says whether a failed upload may go well the next time: not where the source has tried all it could, not
// where the registry understood and refused, and not where the request was tried over and over already.
func worthAnother(err error) bool {
	var corrupt *corruptError
	var parts *tooLargeError
	if errors.As(err, &corrupt) || errors.As(err, &parts) {
		return true
	}
	if registry.IsBusy(err) { // between attempts no place is held: it can be waited for
		return true
	}
	var r *registry.Error
	if !errors.As(err, &r) || r.Side == registry.Source {
		return false
	}
	switch r.Status {
	case http.StatusUnauthorized: // a stream is sent once, and its token may have run out
	case http.StatusBadRequest: // the content may have been spoilt on its way
	case http.StatusNotFound, http.StatusRequestedRangeNotSatisfiable: // the upload's session is gone
	default:
		return r.Passing() && r.Tries <= 1
	}
	return true
}

// tooLargeError is the answer of a registry that refuses a large body in one request, and may take it in parts.
type tooLargeError struct{ error }

func (e *tooLargeError) Unwrap() error { return e.error }

// put sends a whole blob in one request.
func (s *sink) put(ctx context.Context, bl *blob, body io.Reader) error {
	err := s.up.Put(ctx, bl.digest, body, bl.size)
	if registry.StatusOf(err) == http.StatusRequestEntityTooLarge && bl.size > chunk {
		s.up.WantChunks()
		return &tooLargeError{err}
	}
	return err
}

// inParts says whether the registry is known to take such a blob in parts only.
func (s *sink) inParts(bl *blob) bool {
	wanted, _ := s.up.Chunks()
	return wanted && bl.size > chunk
}

// sendOne streams the blob to one registry.
func (e *engine) sendOne(bl *blob, s *sink, t Transfer) {
	u := &uploader{engine: e, sink: s, src: e.source(bl, t)}
	defer u.src.Close()
	e.retry(s, u.attempt, u.again)
}

// uploader streams one blob to one sink, over as many attempts as it takes.
type uploader struct {
	*engine
	*sink
	src   *source
	have  int64 // bytes that the open upload holds already
	apart bool  // goes in parts, since a connection broke on the whole
}

// attempt sends what the registry lacks of the blob. Between attempts the download keeps no place.
func (u *uploader) attempt() error {
	err := u.try()
	if err != nil {
		u.src.Close()
	}
	return err
}

func (u *uploader) try() error {
	bl := u.src.blob
	u.src.seek(u.have)
	// The source is asked first: the destination's place in flight is not kept while it thinks.
	if err := u.src.Open(); err != nil {
		return err
	}
	u.src.from.Feeds()
	if u.have > 0 || u.apart || u.inParts(bl) {
		return u.parts()
	}
	err := u.blame(u.put(u.work, bl, u.src))
	u.apart = breaksOnWhole(bl, err)
	return err
}

// breaksOnWhole says whether a large blob is better sent in parts after a connection broke. The registry may have refused it: who
// sends much does not always get to see the answer to that.
func breaksOnWhole(bl *blob, err error) bool {
	var r *registry.Error
	return bl.size > chunk && errors.As(err, &r) && r.Side == registry.Destination && r.Status == 0
}

// parts sends what the registry lacks in parts, and ends the upload.
func (u *uploader) parts() error {
	size := u.src.blob.size
	part := int64(chunk)
	if _, least := u.up.Chunks(); least > part {
		part = least
	}
	for at := u.have; at < size; {
		n := min(part, size-at)
		if err := u.up.Patch(u.work, io.LimitReader(u.src, n), at, n); err != nil {
			return u.blame(err)
		}
		at += n
	}
	return u.up.Put(u.work, u.src.blob.digest, http.NoBody, 0)
}

// blame makes it the source's error where a request to the destination ended because the source had nothing more to
// give.
func (u *uploader) blame(err error) error {
	if err == nil || u.src.err == nil {
		return err
	}
	return u.src.err
}

// again goes on with an upload that broke off where enough of it is there, and begins another where not.
func (u *uploader) again() bool {
	u.have = 0
	var corrupt *corruptError
	if u.src.blob.size >= resuming && !errors.As(u.err, &corrupt) && retry.Sleep(u.work, noticing) == nil {
		if n, err := u.up.Offset(u.work); err == nil && n <= u.src.offset {
			u.have = n
		}
	}
	return u.have > 0 || u.reopen(u.sink)
}

// noticing is how long a registry gets to see that a connection has gone, and to write down what it had from it.
const noticing = 500 * time.Millisecond

// sendMany reads the blob once for several registries. Those whose upload breaks off get it again, each on its own, as do
// those that want it in parts: between parts, an upload has no place in flight, for which it would wait while others wait for it.
func (e *engine) sendMany(bl *blob, sinks []*sink, t Transfer) {
	var together []*sink
	for _, s := range sinks {
		if !s.inParts(bl) {
			together = append(together, s)
		}
	}
	src := e.source(bl, t)
	e.fanOut(src, together)
	src.Close()
	for _, s := range sinks {
		switch {
		case !slices.Contains(together, s):
			e.sendOne(bl, s, t)
		case s.err != nil && worthAnother(s.err):
			// What has been read is known to the source, so that the upload may go on from there.
			u := &uploader{engine: e, sink: s, src: src, apart: breaksOnWhole(bl, s.err)}
			if u.again() {
				e.retry(s, u.attempt, u.again)
			}
			src.Close()
		}
	}
}

// fanOut streams the source to all sinks at the pace of the slowest.
func (e *engine) fanOut(src *source, sinks []*sink) {
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
		// In the order of registries, which all transfers keep.
		if s.err = s.up.Reserve(e.work); s.err != nil {
			continue
		}
		r, w := io.Pipe()
		pipes = append(pipes, w)
		sent.Go(func() {
			defer s.up.Unreserve()
			s.err = s.put(e.work, src.blob, r)
			_ = r.CloseWithError(errGone)
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

// errGone tells the pouring that a sink takes no more.
var errGone = errors.New("the upload has ended")

// pour copies src to all pipes; one that takes no more is left out.
func pour(src *source, pipes []*io.PipeWriter) {
	buf := make([]byte, piece)
	for len(pipes) > 0 {
		n, err := src.Read(buf)
		pipes = slices.DeleteFunc(pipes, func(w *io.PipeWriter) bool {
			if _, gone := w.Write(buf[:n]); gone != nil {
				return true
			}
			if err != nil {
				_ = w.CloseWithError(err)
			}
			return err != nil
		})
	}
}
