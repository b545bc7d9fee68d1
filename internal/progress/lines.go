package progress

import (
	"context"
	"log/slog"
	"time"

	"imagemirror/internal/mirror"
	"imagemirror/internal/stream"
	"imagemirror/internal/text"
)

// lines displays a run as log lines.
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
		slog.String("source", text.Printable(o.Source.String())),
		slog.String("destination", text.Printable(o.Destination.String())),
		slog.String("digest", text.Printable(o.Digest)),
		slog.Int64("bytes", o.Bytes),
		slog.String("took", text.Round(o.Took).String()),
	}
	level, status := slog.LevelInfo, stream.Copied
	if failed {
		level, status = slog.LevelError, stream.Failed
		e := stream.ErrorOf(o.Err)
		attrs = append(attrs, slog.String("error", text.Line(e.Message, maxText)))
		if e.Advice != "" {
			attrs = append(attrs, slog.String("advice", text.Line(e.Advice, maxText)))
		}
	}
	l.log.LogAttrs(context.Background(), level, status, attrs...)
}

// Stopping writes a line.
func (l *lines) Stopping(grace time.Duration) {
	l.log.Warn("interrupted: finishing what is under way", "grace", grace.String())
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
	l.log.Info("finished", append(attrs, "bytes", l.sent.Load(), "took", text.Round(l.took()).String())...)
}

type silent struct{}

func (silent) Add(int64)  {}
func (silent) Done(error) {}
