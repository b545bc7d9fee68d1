// Package progress shows on standard error what copy does: on a terminal a display that moves, with what is in flight
// and when it will be done, elsewhere a log line for each image, for those who read it later.
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

// A Display is told what the copy engine does. Its methods may be called by many goroutines at once; a transfer's Add is
// cheap enough for every read. Mounted is about bytes that were announced to New and need not be sent.
type Display interface {
	mirror.Observer
	// Close says how it went and leaves the terminal to others. It comes last, and once.
	Close()
}

// New begins to show a run that is to copy images, and to send as many bytes, or fewer. Where f is no terminal, all goes to
// log.
func New(f *os.File, log *slog.Logger, images int, bytes int64) Display {
	t := &tally{images: images, bytes: max(bytes, 0), began: time.Now()}
	if terminal(f) {
		return newLive(f, heightOf(f), t)
	}
	return newLines(log, t)
}

func terminal(f *os.File) bool {
	return term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// heightOf returns a function that tells how many lines f has at the moment.
func heightOf(f *os.File) func() int {
	return func() int {
		_, height, err := term.GetSize(int(f.Fd()))
		if err != nil {
			return 0
		}
		return height
	}
}

// tally counts what has happened.
type tally struct {
	images int
	bytes  int64
	began  time.Time

	copied, failed, interrupted atomic.Int64 // images
	sent                        atomic.Int64 // bytes, as the images' outcomes count them
}

// count counts an image in, and says whether it failed for a reason of its own. One that was interrupted is only counted:
// after Ctrl-C there may be thousands, all with the same to say.
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

// over is how many images have had their outcome.
func (t *tally) over() int64 { return t.copied.Load() + t.failed.Load() + t.interrupted.Load() }

func (t *tally) took() time.Duration { return time.Since(t.began) }
