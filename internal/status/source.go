package status

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"unique"

	"golang.org/x/sync/errgroup"

	"imagemirror/internal/record"
	"imagemirror/internal/secret"
	"imagemirror/internal/text"
)

// Records is a Source that reads the records of a store, and each only if it has changed.
type Records struct {
	Reader record.Reader
	// Active returns the runs that have not ended. It is nil if nothing can tell.
	Active func(context.Context) ([]Active, error)

	mu    sync.Mutex
	known map[string]lastRead // by set
}

// A lastRead is a record as it was read last, or why it could not be.
type lastRead struct {
	tag     string
	record  *record.Record // the last that could be read; nil if none
	problem string
}

// Bounds on a look.
const (
	readers     = 8 // records that are read at once
	maxProblems = 5 // that pages show
)

// Look reads what has changed. A record that cannot be read does not hide the others: the one that
// was read before stays.
func (r *Records) Look(ctx context.Context) (Look, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	items, err := r.Reader.List(ctx)
	if err != nil {
		return Look{}, fmt.Errorf("listing the records: %w", err)
	}
	read, err := r.readAll(ctx, items)
	if err != nil {
		return Look{}, err
	}
	look, known := Look{}, map[string]lastRead{}
	for i, item := range items {
		k := read[i]
		known[item.Set] = k
		if k.record != nil {
			look.Records = append(look.Records, k.record)
		}
		if k.problem != "" {
			look.Problems = append(look.Problems, k.problem)
		}
	}
	r.known = known
	if r.Active != nil {
		if look.Active, err = r.Active(ctx); err != nil {
			look.Problems = append(look.Problems, problem(fmt.Errorf("listing the active runs: %w", err)))
		}
	}
	look.Problems = few(look.Problems)
	return look, ctx.Err()
}

// readAll returns what is known of each item.
func (r *Records) readAll(ctx context.Context, items []record.Item) ([]lastRead, error) {
	all := make([]lastRead, len(items))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for i, item := range items {
		old := r.known[item.Set]
		if old.tag == item.Tag && old.problem == "" && old.record != nil {
			all[i] = old
			continue
		}
		g.Go(func() error {
			all[i] = r.read(ctx, item, old)
			return ctx.Err()
		})
	}
	return all, g.Wait()
}

func (r *Records) read(ctx context.Context, item record.Item, old lastRead) lastRead {
	next, err := r.Reader.Load(ctx, item.Set)
	switch {
	case err == nil:
		shareTexts(next)
		return lastRead{tag: item.Tag, record: next}
	case errors.Is(err, record.ErrNone):
		return lastRead{} // it was removed since it was listed
	}
	why := problem(fmt.Errorf("reading the record of the image set %s: %w", item.Set, err))
	if why != old.problem {
		slog.Warn("a record cannot be read", "error", why)
	}
	return lastRead{tag: item.Tag, record: old.record, problem: why}
}

// shareTexts keeps texts that a record has many times once in memory: a run is named by each tag
// that it moved, and a host by each run.
func shareTexts(r *record.Record) {
	share := func(s *string) { *s = unique.Make(*s).Value() }
	for _, run := range r.Runs {
		share(&run.ID)
		share(&run.Trigger)
		share(&run.Program)
		for _, host := range run.Registries {
			share(&host.Host)
		}
	}
	for _, d := range r.Destinations {
		share(&d.Digest)
		share(&d.File)
		share(&d.Run)
		for _, m := range d.Moves {
			share(&m.Digest)
			share(&m.Run)
		}
	}
}

// problem returns an error as one line.
func problem(err error) string { return text.Line(secret.Hide(err.Error()), maxLine) }

// few returns the first problems, and how many more there are.
func few(problems []string) []string {
	if n := len(problems) - maxProblems; n > 0 {
		return append(problems[:maxProblems:maxProblems], fmt.Sprintf("and %d more problems", n))
	}
	return problems
}
