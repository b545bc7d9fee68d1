// Package progress shows on standard error what a run does: how far it is, how fast, and what it
// waits for. On a terminal it draws the blobs in flight and the time left. Elsewhere it logs a
// line for each image, and one every half minute.
package progress

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/term"

	"imagemirror/internal/mirror"
	"imagemirror/internal/waits"
)

// A Display shows what the copy engine does. Many goroutines may call its methods at once, and
// a transfer's Add is cheap enough for every read. Mounted is for bytes that were announced to
// New and need not be sent.
type Display interface {
	mirror.Observer
	// Stopping shows that the run was told to stop, and how long it may still take.
	Stopping(grace time.Duration)
	// Close shows a summary and leaves the terminal to others. It must be the last call.
	Close()
}

// New starts to display a run of so many images, which sends at most so many bytes. If f is not a
// terminal, everything goes to log.
func New(f *os.File, log *slog.Logger, images int, bytes int64) Display {
	t := &tally{images: images, bytes: max(bytes, 0), began: time.Now()}
	if canDraw(f) {
		return newLive(f, heightOf(f), t)
	}
	return newLines(log, t)
}

// WhenStopped calls show once when ctx ends, which tells a display so. The caller calls done before
// it closes the display: if ctx has ended by then, done returns after show.
func WhenStopped(ctx context.Context, show func()) (done func()) {
	shown := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(shown)
		show()
	})
	return func() {
		switch {
		case !stop():
			<-shown
		case ctx.Err() != nil: // but its functions were not called yet
			show()
		}
	}
}

// Announce logs that something begins, unless f is a terminal, on which a display shows that.
func Announce(f *os.File, log *slog.Logger, what string) {
	if !canDraw(f) {
		log.Info(what)
	}
}

func canDraw(f *os.File) bool {
	return term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// heightOf returns a function that returns how many lines f has at the moment.
func heightOf(f *os.File) func() int {
	return func() int {
		_, height, err := term.GetSize(int(f.Fd()))
		if err != nil {
			return 0
		}
		return height
	}
}

// A tally counts the outcomes of a run, and has what is under way.
type tally struct {
	images int
	bytes  int64
	began  time.Time

	copied, failed, interrupted atomic.Int64 // images
	sent                        atomic.Int64 // bytes, as the images' outcomes count them

	flights flights
	others  pool         // waits of requests that belong to no transfer
	done    atomic.Int64 // bytes that have crossed
	mounted atomic.Int64 // bytes that need not be sent
}

// Blob begins a transfer.
func (t *tally) Blob(digest, repository string, size int64) mirror.Transfer {
	begun := &transfer{run: t, digest: digest, repository: repository, size: size, began: time.Now()}
	t.flights.add(begun)
	return begun
}

// Mounted subtracts bytes from those that have to be sent.
func (t *tally) Mounted(size int64) { t.mounted.Add(size) }

// Begin adds a wait of a request that belongs to no transfer.
func (t *tally) Begin(w waits.Wait) (end func()) { return t.others.Begin(w) }

// waitFor returns all that is waited for, without what the shown transfers wait for.
func (t *tally) waitFor(shown []*transfer) []shownWait {
	return append(t.others.all(), t.flights.waitFor(shown)...)
}

// crossed returns the bytes that have crossed, and those that have to.
func (t *tally) crossed() (crossed, total int64) {
	crossed = max(t.done.Load(), 0)
	return crossed, max(t.bytes-t.mounted.Load(), crossed)
}

// count counts an image, and reports whether it failed for a reason of its own. An interrupted
// image is only counted: after Ctrl-C there may be thousands, all with the same error.
func (t *tally) count(o mirror.Outcome) (failed bool) {
	t.sent.Add(o.Bytes)
	switch {
	case o.Err == nil:
		t.copied.Add(1)
	case errors.Is(o.Err, mirror.ErrInterrupted):
		t.interrupted.Add(1)
	default:
		t.failed.Add(1)
		return true
	}
	return false
}

// over returns how many images have had their outcome.
func (t *tally) over() int64 { return t.copied.Load() + t.failed.Load() + t.interrupted.Load() }

func (t *tally) took() time.Duration { return time.Since(t.began) }
