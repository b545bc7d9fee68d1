package mirror

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"imagemirror/internal/reference"
	"imagemirror/internal/regerror"
	"imagemirror/internal/registry"
	"imagemirror/internal/retry"
	"imagemirror/internal/waits"
)

// Sizes, in bytes.
const (
	small    = 128 << 10 // a blob up to this size is held in memory, so that no slot waits for another
	piece    = 256 << 10 // is passed on at once if a blob goes to several registries
	resuming = 8 << 20   // an upload of this size and more is resumed if it breaks off
	chunk    = 16 << 20  // of an upload that broke off as a whole

	leastChunk = 1 << 20 // what a chunk shrinks to if it breaks off too
)

const (
	corruptTries = 6 // reads of a blob whose content does not have its digest
	refusedTries = 3 // uploads after a refusal that may be chance
)

// send uploads a blob to sinks, each of which has an open upload, and sets the err of those that
// fail.
func (e *engine) send(bl *blob, sinks []*sink) {
	if len(sinks) == 0 {
		return
	}
	registries := int64(len(sinks))
	t := e.Observer.Blob(bl.digest, sinks[0].wanted.repo.to.Name(), registries*bl.size)
	if registries > 1 {
		t = multiplied{t, registries}
	}
	ctx := waits.Watch(sinks[0].turn.ctx, t)
	for _, s := range sinks {
		s.ctx = ctx
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
			e.cancelUpload(s)
		}
	}
	t.Done(failed)
}

// A multiplied transfer goes to several registries, and counts each byte once for each of them.
type multiplied struct {
	Transfer
	registries int64
}

func (m multiplied) Add(n int64) { m.Transfer.Add(n * m.registries) }

// sendSmall reads the whole blob before it sends any of it. The source's slot is released at once,
// and no byte leaves before the digest is known to be right.
func (e *engine) sendSmall(bl *blob, sinks []*sink, t Transfer) {
	b, err := e.readBlob(bl, sinks[0].turn, t)
	if err != nil {
		for _, s := range sinks {
			s.err = err
		}
		return
	}
	var sent sync.WaitGroup
	for _, s := range sinks {
		sent.Go(func() {
			e.retry(s, func() error { return s.up.PutBytes(s.ctx, bl.digest, b) }, func() bool { return e.reopen(s) })
			e.passOn(s)
		})
	}
	sent.Wait()
}

// readBlob reads a whole blob, again from the beginning if its content does not have its digest.
func (e *engine) readBlob(bl *blob, in *turn, t Transfer) ([]byte, error) {
	src := e.newSource(bl, in, t)
	defer src.Close()
	b := make([]byte, bl.size)
	err := src.policy.Do(src.ctx, func(n int) (time.Duration, error) {
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

// retryPolicy returns how transfers that break off are retried.
func (e *engine) retryPolicy() retry.Policy {
	return retry.Policy{Tries: e.Client.Retries(), First: 400 * time.Millisecond, Max: 5 * time.Second, Immediate: true}
}

// retry attempts an upload for as long as another attempt may help, and sets s.err to the last
// error. Between attempts reopen gets the sink a usable upload. It returns false if there is none:
// the registry has the blob after all, or refuses.
func (e *engine) retry(s *sink, attempt func() error, reopen func() bool) {
	p := e.retryPolicy()
	p.Host = s.wanted.repo.to.Registry()
	_ = p.Do(s.ctx, func(n int) (time.Duration, error) {
		if n > 1 && !reopen() {
			return retry.Never, s.err
		}
		err := attempt()
		s.err = withTries(err, n)
		if n >= e.triesFor(err) || !worthRetrying(err) {
			return retry.Never, err
		}
		return 0, err
	})
}

// withTries adds to a destination's error how many attempts there were.
func withTries(err error, attempts int) error {
	known, ok := err.(*regerror.Error)
	if !ok || known.Side != reference.Destination || known.Tries >= attempts {
		return err
	}
	e := *known
	e.Tries = attempts
	return &e
}

// triesFor returns how many attempts a transfer gets after err.
func (e *engine) triesFor(err error) int {
	var corrupt *corruptError
	switch status := regerror.StatusOf(err); {
	case errors.As(err, &corrupt):
		return min(corruptTries, e.Client.Retries())
	case status == http.StatusBadRequest || status == http.StatusUnauthorized || isDamage(err):
		return min(refusedTries, e.Client.Retries())
	}
	return e.Client.Retries()
}

// cancelUpload asks the registry to drop a sink's upload, unless it is gone or the run is stopped.
func (e *engine) cancelUpload(s *sink) {
	if s.up == nil || regerror.StatusOf(s.err) == http.StatusNotFound || errors.Is(context.Cause(e.work), ErrInterrupted) {
		return
	}
	s.up.Cancel(context.WithoutCancel(e.work))
	s.up = nil
}

// reopen begins another upload, and reports whether there is one to send to. The blob may have
// arrived, so it asks for a mount first, unless the registry refused the last upload: then the
// upload that a mount opens may be of no use.
func (e *engine) reopen(s *sink) bool {
	if s.from != "" && refusesSession(s.err) {
		s.wanted.repo.to.DoubtMount(s.from)
		s.from = ""
		s.up, s.err = e.beginUpload(s.ctx, s.wanted.repo, s.wanted.blob.digest, "")
		return s.up != nil
	}
	e.cancelUpload(s)
	e.open(s.ctx, s, "")
	return s.up != nil
}

// refusesSession reports whether err may be due to the upload, and not to the content.
func refusesSession(err error) bool {
	status := regerror.StatusOf(err)
	return status == http.StatusNotFound || status == http.StatusBadRequest && !isDamage(err)
}

// isDamage reports whether a registry found that content was damaged on its way.
func isDamage(err error) bool {
	var r *regerror.Error
	return errors.As(err, &r) && (r.Code == "DIGEST_INVALID" || r.Code == "SIZE_INVALID")
}

// worthRetrying reports whether a failed upload may succeed the next time. It does not if the
// source has tried all it could, if the registry understood and refused, or if the request was
// retried already.
func worthRetrying(err error) bool {
	var corrupt *corruptError
	if errors.As(err, &corrupt) || tooLarge(err) {
		return true
	}
	if errors.Is(err, registry.ErrSentOnce) { // the next attempt can be redirected
		return true
	}
	if errors.Is(err, regerror.ErrBusy) { // between attempts no slot is held, so one can be waited for
		return true
	}
	var r *regerror.Error
	if !errors.As(err, &r) || r.Side == reference.Source {
		return false
	}
	if isDamage(err) {
		return true
	}
	switch r.Status {
	case http.StatusUnauthorized: // a stream is sent once, and its token may have expired
	case http.StatusBadRequest: // the content may have been damaged on its way
	case http.StatusNotFound, http.StatusRequestedRangeNotSatisfiable: // the upload's session is gone
	default:
		return r.Transient() && r.Tries <= 1
	}
	return true
}

// tooLarge reports whether a request was refused for its size, and a smaller one may not be.
func tooLarge(err error) bool {
	var large *registry.TooLargeError
	return errors.As(err, &large) && !large.Final
}

// wantsChunks reports whether the registry is known to accept such a blob in chunks only.
func (s *sink) wantsChunks(bl *blob) bool { return s.up.Chunk(bl.size) < bl.size }

// sendOne streams the blob to one registry.
func (e *engine) sendOne(bl *blob, s *sink, t Transfer) {
	u := &uploader{engine: e, sink: s, src: e.newSource(bl, s.turn, t)}
	defer u.src.Close()
	e.retry(s, u.attempt, u.resume)
}
