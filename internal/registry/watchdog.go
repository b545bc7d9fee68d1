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
// reading for a while. letGo ends that, so that the reader can be used for another
// request.
type streamedBody struct {
	w *watchdog

	mu   sync.Mutex // held while from is read
	from io.Reader  // nil after letGo
}

func (f *streamedBody) Read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.from == nil {
		return 0, errLetGo
	}
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

// letGo waits for a Read under way and makes all later ones fail. A nil body is fine.
func (f *streamedBody) letGo() {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.from = nil
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
