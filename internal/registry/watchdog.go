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

// A watchdog cancels a request on which nothing has moved for a while, or too little.
type watchdog struct {
	limit   time.Duration
	timer   *time.Timer
	stopped atomic.Bool
	slow    atomic.Pointer[regerror.SlowError] // nil if nothing moved: see pace
}

func newWatchdog(limit time.Duration, cancel context.CancelCauseFunc) *watchdog {
	w := &watchdog{limit: limit}
	w.timer = time.AfterFunc(limit, func() {
		if slow := w.slow.Load(); slow != nil {
			cancel(slow)
			return
		}
		cancel(fmt.Errorf("%w: nothing moved for %s", regerror.ErrStalled, limit))
	})
	return w
}

// run restarts the clock, which ends the request after left.
func (w *watchdog) run(left time.Duration) {
	if !w.stopped.Load() {
		w.timer.Reset(left)
	}
}

// hold stops the clock while the request waits for this program instead of the registry.
func (w *watchdog) hold() { w.timer.Stop() }

func (w *watchdog) stop() {
	w.stopped.Store(true)
	w.timer.Stop()
}

// leastRate is the least rate of an answer that is not a blob if Config has none, in bytes
// per second.
const leastRate = 16 << 10

// A pace is the least rate of a body. A window, which is the bytes that the rate brings
// within the watchdog's limit, may take that long. So every body of a bounded size ends:
// within the limit, and the time that its size takes at the rate. The time in which the
// other side waits for this program does not count. One goroutine at a time may use it.
type pace struct {
	w     *watchdog
	least regerror.SlowError

	began   time.Time     // of the wait under way
	spent   time.Duration // in waits of the window
	missing int64         // bytes of the window
}

// newPace returns the pace of a body from or to a host, at rate bytes per second. If that
// is 0, the body may be slow, and must not stand still.
func newPace(w *watchdog, host string, rate int64) *pace {
	p := &pace{w: w, least: regerror.SlowError{Host: host, Rate: rate, Within: w.limit}}
	p.restart()
	return p
}

// restart begins another window.
func (p *pace) restart() {
	p.spent, p.missing = 0, int64(float64(p.least.Rate)*p.w.limit.Seconds())
	p.w.slow.Store(nil)
}

// run starts the clock: this program waits for the other side.
func (p *pace) run() {
	p.began = time.Now()
	p.w.run(p.w.limit - p.spent)
}

// hold stops the clock: n bytes moved since run.
func (p *pace) hold(n int) {
	p.w.hold()
	p.spent += time.Since(p.began)
	p.missing -= int64(n)
	switch {
	case p.missing <= 0:
		p.restart()
	case n > 0 && p.spent > p.w.limit/10: // else it came with the headers, and then nothing
		p.w.slow.Store(&p.least)
	}
}

// A streamedBody is the body of a request that streams. The clock runs while the
// registry takes in a piece, and stands still while the source is read. Once all is
// sent, the registry gets longer to answer.
//
// A registry may answer before it has read the whole body, and net/http then goes on
// reading for a while. again and letGo end that, so that the reader can be used for
// another request.
type streamedBody struct {
	pace  *pace
	moved *atomic.Int64 // counts what is read

	mu    sync.Mutex // held while from is read
	from  io.Reader  // nil after letGo
	began bool       // something was read for the current request
	given int        // bytes of the last Read
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
	f.pace.restart()
	f.pace.run()
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
	if f.began {
		f.pace.hold(f.given)
	}
	f.began = true
	f.pace.w.hold()
	n, err := f.from.Read(p)
	f.given = n
	f.moved.Add(int64(n))
	if err != nil && err != io.EOF {
		err = errFeed
	}
	if err != nil {
		f.pace.w.run(commitPatience * f.pace.w.limit)
	} else {
		f.pace.run()
	}
	return n, err
}

// errFeed replaces an error of the body's reader, which is not the registry's. The
// reader's owner knows it.
var errFeed = errors.New("reading the body to send failed")

// errLetGo ends the sending of a body after its request.
var errLetGo = errors.New("the request is over")

// A responseBody is the body of an answer. Close releases the request's slot. An error does, too,
// and so does the end if the answer is a success: any other is learned from first. The clock runs
// during a Read only.
type responseBody struct {
	io.ReadCloser
	ctx   context.Context
	pace  *pace
	moved *atomic.Int64 // counts what is read
	good  bool          // the answer is a success
	done  func()

	health *health     // of the host that answered
	down   error       // what a stall is if that host is silent
	began  time.Time   // when it was asked
	ended  atomic.Bool // health knows what became of the answer
}

func (b *responseBody) Read(p []byte) (int, error) {
	b.pace.run()
	n, err := b.ReadCloser.Read(p)
	b.pace.hold(n)
	b.moved.Add(int64(n))
	if err != nil {
		b.end(err)
	}
	switch {
	case err == io.EOF && b.good:
		b.done()
	case err != nil && err != io.EOF:
		if err = regerror.Plain(b.ctx, err); errors.Is(err, regerror.ErrStalled) && b.health.isSilent() {
			err = b.down
		}
		b.done()
	}
	return n, err
}

// end tells the health how the answer ended.
func (b *responseBody) end(err error) {
	switch {
	case b.ended.Swap(true):
	case err == io.EOF:
		b.health.heard()
	default:
		b.health.unheard(b.ctx, b.began, b.pace.began, err)
	}
}

func (b *responseBody) Close() error {
	b.end(io.EOF) // whoever closes it has read what is needed
	err := b.ReadCloser.Close()
	b.done()
	return err
}
