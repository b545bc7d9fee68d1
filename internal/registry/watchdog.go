package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"imagemirror/internal/regerror"
)

// A watchdog cancels a request on which no byte has moved for a while.
type watchdog struct {
	limit   time.Duration
	timer   *time.Timer
	stopped atomic.Bool
}

func newWatchdog(limit time.Duration, cancel context.CancelCauseFunc) *watchdog {
	return &watchdog{limit: limit, timer: time.AfterFunc(limit, func() {
		cancel(fmt.Errorf("%w: nothing moved for %s", regerror.ErrStalled, limit))
	})}
}

// moved restarts the clock: the request gets another n times the limit.
func (w *watchdog) moved(n int) {
	if !w.stopped.Load() {
		w.timer.Reset(time.Duration(n) * w.limit)
	}
}

// hold stops the clock while the request waits for this program instead of the registry.
func (w *watchdog) hold() { w.timer.Stop() }

func (w *watchdog) stop() {
	w.stopped.Store(true)
	w.timer.Stop()
}

// A streamedBody is the body of a request that streams. The clock runs while the
// registry takes in a piece, and stands still while the source is read. Once all is
// sent, the registry gets longer to answer.
//
// A registry may answer before it has read the whole body, and net/http then goes on
// reading for a while. again and letGo end that, so that the reader can be used for
// another request.
type streamedBody struct {
	w *watchdog

	mu    sync.Mutex // held while from is read
	from  io.Reader  // nil after letGo
	began bool       // something was read for the current request
	turn  int        // counts requests
}

// A Rewinder is the body of a request that can be sent again, from its beginning. So the
// request can be redirected after its body was read.
type Rewinder interface {
	io.Reader
	Rewind() error
}

// reader returns the body for the current request.
func (f *streamedBody) reader() io.Reader {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &bodyReader{f, f.turn}
}

// again makes the body ready for another request, and ends the reading for the one
// before. It reports whether that had begun. The error is ErrSentOnce if the body can be
// read only once.
func (f *streamedBody) again() (began bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.turn++
	f.w.moved(1)
	if began, f.began = f.began, false; !began {
		return false, nil
	}
	if body, ok := f.from.(Rewinder); ok {
		return true, body.Rewind()
	}
	return true, ErrSentOnce
}

// letGo waits for a Read under way and makes all later ones fail. A nil body is fine.
func (f *streamedBody) letGo() {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.from = nil
}

// A bodyReader reads a streamedBody for one request.
type bodyReader struct {
	*streamedBody
	request int
}

func (r *bodyReader) Read(p []byte) (int, error) {
	f := r.streamedBody
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.from == nil || f.turn != r.request {
		return 0, errLetGo
	}
	f.began = true
	f.w.hold()
	n, err := f.from.Read(p)
	if err != nil && err != io.EOF {
		err = errFeed
	}
	if err != nil {
		f.w.moved(commitPatience)
	} else {
		f.w.moved(1)
	}
	return n, err
}

// errFeed replaces an error of the body's reader, which is not the registry's. The
// reader's owner knows it.
var errFeed = errors.New("reading the body to send failed")

// errLetGo ends the sending of a body after its request.
var errLetGo = errors.New("the request is over")

// A responseBody is the body of an answer. Its end or Close releases the request's
// slot. The clock runs during a Read only.
type responseBody struct {
	io.ReadCloser
	ctx  context.Context
	w    *watchdog
	done func()
}

func (b *responseBody) Read(p []byte) (int, error) {
	b.w.moved(1)
	n, err := b.ReadCloser.Read(p)
	b.w.hold()
	if err != nil {
		if err != io.EOF {
			err = regerror.Plain(b.ctx, err)
		}
		b.done()
	}
	return n, err
}

func (b *responseBody) Close() error {
	err := b.ReadCloser.Close()
	b.done()
	return err
}
