package status

import (
	"context"
	"log/slog"
	"time"

	"imagemirror/internal/record"
	"imagemirror/internal/text"
)

// A Source knows all sets.
type Source interface {
	// Look returns what is known now. It returns an error only if nothing is known.
	Look(ctx context.Context) (Look, error)
}

// A Look is what a Source knows at one moment.
type Look struct {
	Records  []*record.Record
	Active   []Active // runs that have not ended
	Problems []string // why something is missing or old
}

// Take returns a snapshot of a source.
func Take(ctx context.Context, source Source) (*Snapshot, error) {
	look, err := source.Look(ctx)
	if err != nil {
		return nil, err
	}
	return NewSnapshot(look, time.Now()), nil
}

// loaded is the last snapshot, and why there is no newer one.
type loaded struct {
	snapshot *Snapshot // nil if there has never been one
	err      error
	since    time.Time // of the first of the failures in a row
}

// loadTime bounds a load, so that a source that hangs is asked again.
const loadTime = time.Minute

// keepLoading loads a snapshot at each interval until ctx ends.
func (s *Server) keepLoading(ctx context.Context) {
	ticker := time.NewTicker(s.Interval)
	defer ticker.Stop()
	for {
		s.load(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// load loads a snapshot. If it fails, the last one stays, and pages say so.
func (s *Server) load(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, loadTime)
	defer cancel()
	snapshot, err := Take(ctx, s.Source)
	last := s.last.Load()
	if err == nil {
		if last.err != nil {
			slog.Info("the records can be read again", "sets", len(snapshot.sets))
		}
		s.last.Store(&loaded{snapshot: snapshot})
		return
	}
	next := &loaded{snapshot: last.snapshot, err: err, since: last.since}
	if last.err == nil {
		next.since = time.Now()
	}
	if last.err == nil || last.err.Error() != err.Error() {
		slog.Error("reading the records", "error", text.Line(err.Error(), maxLine))
	}
	s.last.Store(next)
}
