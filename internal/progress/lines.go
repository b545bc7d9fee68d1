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
	sampler *sampler
	last    int64 // bytes that had crossed at the last line
}

func newLines(log *slog.Logger, t *tally) *lines {
	l := &lines{log: log, tally: t}
	if t.images == 0 {
		log.Info("nothing to copy")
		return l
	}
	log.Info("copying", "images", t.images, "bytes", t.bytes)
	l.sampler = newSampler(func() []shownWait { return t.waitFor(nil) }, l.logProgress)
	return l
}

// logProgress writes a line about the run so far.
func (l *lines) logProgress(slowest string, held []crowd) {
	crossed, total := l.crossed()
	rate := max(crossed-l.last, 0) / int64(logEvery/time.Second)
	l.last = crossed
	l.log.Info("progress", append([]any{
		"done", l.over(), "images", l.images, "failed", l.failed.Load(),
		"sent", text.Size(crossed), "of", text.Size(total), "rate", text.Size(rate) + "/s",
	}, attrsOf(slowest, held)...)...)
}

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
	if o.IsCurrent() {
		status = stream.Current
	}
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
	l.log.Warn("stopping: what is under way may finish", "grace", grace.String())
}

// Close writes the last line.
func (l *lines) Close() {
	if l.images == 0 {
		return
	}
	l.sampler.end()
	attrs := []any{"copied", l.copied.Load(), "failed", l.failed.Load()}
	if n := l.interrupted.Load(); n > 0 {
		attrs = append(attrs, "interrupted", n)
	}
	l.log.Info("finished", append(attrs, "bytes", l.sent.Load(), "took", text.Round(l.took()).String())...)
}
