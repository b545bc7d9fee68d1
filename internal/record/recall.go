package record

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Recaller returns what earlier runs recorded of the destinations of a set, with the last move of
// each: nil if there is no record.
type Recaller func(ctx context.Context, set string) (*Record, error)

// Recaller returns one that reads the store. It is nil if no records are kept.
func (c Config) Recaller() Recaller {
	if c.place() == "" {
		return nil
	}
	store, unopened := c.OpenReader()
	return func(ctx context.Context, set string) (*Record, error) {
		if unopened != nil {
			return nil, fmt.Errorf("reading records: %w", unopened)
		}
		r, err := store.Load(ctx, set)
		if errors.Is(err, ErrNone) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the record of the image set %q: %w", set, err)
		}
		r.Runs, r.Causes = nil, nil // they take most of the memory
		for _, d := range r.Destinations {
			d.Moves = slices.Clone(d.Moves[max(0, len(d.Moves)-1):])
		}
		return r, nil
	}
}

// CheckedAt returns when registries last said that the destination is good, or the zero time.
func (d *Destination) CheckedAt() time.Time {
	if d.Checked.IsZero() {
		return d.LastGood
	}
	return d.Checked
}

// Destination returns the destination with a name, or nil if there is none.
func (r *Record) Destination(name string) *Destination {
	i, found := slices.BinarySearchFunc(r.Destinations, name, func(d *Destination, name string) int { return strings.Compare(d.Name, name) })
	if !found {
		return nil
	}
	return r.Destinations[i]
}
