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

// watchdog cancels a request on which nothing has moved for a while.
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

// moved gives the request another n times the limit.
func (w *watchdog) moved(n int) {
	if !w.stopped.Load() {
		w.timer.Reset(time.Duration(n) * w.limit)
	}
}

// hold stops the clock while the request waits for this program, and not for the registry.
func (w *watchdog) hold() { w.timer.Stop() }

func (w *watchdog) stop() {
	w.stopped.Store(true)
	w.timer.Stop()
}

// requestBody is a request's body: the clock runs while the registry takes in a piece of it, and not while the source is waited
// for. When it is all out, the registry gets longer to answer.
//
// A registry may answer before it has taken in the body, and net/http goes on reading that for a while. So the reader
// behind it is let go of when the request is over: only then may another read it.
type requestBody struct {
	w *watchdog

	mu   sync.Mutex // held while the reader is read
	from io.Reader
}

func (f *requestBody) Read(p []byte) (int, error) {
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

// letGo waits until nobody reads the reader, and lets nobody begin to.
func (f *requestBody) letGo() {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.from = nil
}

// errFeed stands for the error of a body's reader, which is not the registry's. Whoever gave the reader knows it.
var errFeed = errors.New("there was nothing more to send")

// errLetGo ends the sending of a body whose request is over.
var errLetGo = errors.New("the request is over")

// responseBody is an answer's body, which gives the request's place back at its end. The clock runs while it is read.
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
