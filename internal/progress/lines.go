package progress

import (
	"context"
	"log/slog"
	"time"

	"imagemirror/internal/command"
	"imagemirror/internal/mirror"
	"imagemirror/internal/stream"
)

// lines is the display for logs.
type lines struct {
	log *slog.Logger
	*tally
}

func newLines(log *slog.Logger, t *tally) *lines {
	l := &lines{log: log, tally: t}
	if t.images == 0 {
		log.Info("nothing to copy")
	} else {
		log.Info("copying", "images", t.images, "bytes", t.bytes)
	}
	return l
}

// Blob shows nothing: an image has one line, when it is finished.
func (*lines) Blob(string, string, int64) mirror.Transfer { return silent{} }

// Mounted shows nothing.
func (*lines) Mounted(int64) {}

// Image writes the image's line.
func (l *lines) Image(o mirror.Outcome) {
	failed := l.count(o)
	if o.Err != nil && !failed {
		return
	}
	attrs := []slog.Attr{
		slog.String("source", command.Printable(o.Source.String())),
		slog.String("destination", command.Printable(o.Destination.String())),
		slog.String("digest", command.Printable(o.Digest)),
		slog.Int64("bytes", o.Bytes),
		slog.String("took", round(o.Took).String()),
	}
	level, status := slog.LevelInfo, stream.Copied
	if failed {
		level, status = slog.LevelError, stream.Failed
		e := stream.ErrorOf(o.Err)
		attrs = append(attrs, slog.String("error", command.Clip(command.Printable(e.Message), maxText)))
		if e.Advice != "" {
			attrs = append(attrs, slog.String("advice", command.Clip(command.Printable(e.Advice), maxText)))
		}
	}
	l.log.LogAttrs(context.Background(), level, status, attrs...)
}

// Close writes the last line.
func (l *lines) Close() {
	if l.images == 0 {
		return
	}
	attrs := []any{"copied", l.copied.Load(), "failed", l.failed.Load()}
	if n := l.interrupted.Load(); n > 0 {
		attrs = append(attrs, "interrupted", n)
	}
	l.log.Info("finished", append(attrs, "bytes", l.sent.Load(), "took", round(l.took()).String())...)
}

type silent struct{}

func (silent) Add(int64)  {}
func (silent) Done(error) {}

// round leaves as much of a duration as people read.
func round(d time.Duration) time.Duration {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond)
	case d < time.Minute:
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Second)
}
