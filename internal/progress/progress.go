// Package progress shows on standard error what copy does. On a terminal it draws the blobs in
// flight and the time left. Elsewhere it logs a line for each image.
package progress

import (
	"errors"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/term"

	"imagemirror/internal/mirror"
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

// A tally counts the outcomes of a run.
type tally struct {
	images int
	bytes  int64
	began  time.Time

	copied, failed, interrupted atomic.Int64 // images
	sent                        atomic.Int64 // bytes, as the images' outcomes count them
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
