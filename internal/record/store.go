package record

import (
	"context"
	"errors"
	"fmt"
)

// A Reader reads the records of image sets. Its methods are safe for concurrent use.
type Reader interface {
	// List returns the sets that have a record, by name.
	List(ctx context.Context) ([]Item, error)
	// Load returns the record of a set. It fails with ErrNone if there is none.
	Load(ctx context.Context, set string) (*Record, error)
}

// An Item is a record in a List. While its Tag is the same, so is the record.
type Item struct{ Set, Tag string }

// A Store keeps the records of image sets, also for several processes at once.
type Store interface {
	Reader
	// Update replaces the record of a set by what change returns, which is called again if
	// somebody else updates the record meanwhile. change must not change its argument; if it
	// returns it, nothing is written. A writer that dies leaves the record before or after.
	Update(ctx context.Context, set string, change func(*Record) *Record) error
}

// LoadAll returns the records of all sets that can be read. Its error has a line for each other.
func LoadAll(ctx context.Context, r Reader) ([]*Record, error) {
	items, err := r.List(ctx)
	if err != nil {
		return nil, err
	}
	var all []*Record
	var errs []error
	for _, item := range items {
		one, err := r.Load(ctx, item.Set)
		switch {
		case err == nil:
			all = append(all, one)
		case !errors.Is(err, ErrNone):
			errs = append(errs, fmt.Errorf("the record of the image set %q: %w", item.Set, err))
		}
	}
	return all, errors.Join(errs...)
}

// ErrNone is the error of a set without a record.
var ErrNone = errors.New("there is no record")

// ErrLost is the error of a record whose content is broken. The next update keeps that aside, and
// begins a new record.
var ErrLost = errors.New("the record is lost")
