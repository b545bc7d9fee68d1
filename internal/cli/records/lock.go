package records

import (
	"context"
	"errors"
	"maps"

	"imagemirror/internal/record"
	"imagemirror/internal/report"
)

// Lock adds images.lock to the files of a report. Which runs published what comes from the records
// of its sets, and otherwise from an earlier images.lock. If a record cannot be read, Lock does
// without, and returns why.
func (c Config) Lock(ctx context.Context, r *report.Report, before report.KnownImages) error {
	recorded, err := c.recalled(ctx, r)
	known := report.KnownImages{}
	maps.Copy(known, before)
	for _, one := range recorded {
		for _, d := range one.Destinations {
			if !d.Gone.IsZero() {
				delete(known, d.Name)
			} else if d.Digest != "" {
				known[d.Name] = locked(d)
			}
		}
	}
	r.Lock(known)
	return err
}

// recalled returns the records of a report's sets, as far as they can be read.
func (c Config) recalled(ctx context.Context, r *report.Report) (all []*record.Record, err error) {
	recall := c.Recaller()
	if recall == nil {
		return nil, nil
	}
	var unread []error
	for _, set := range r.Sets {
		one, err := recall(ctx, set.Name)
		if one != nil {
			all = append(all, one)
		}
		unread = append(unread, err)
	}
	return all, errors.Join(unread...)
}

// locked returns what a record knows of an image at its destination.
func locked(d *record.Destination) *report.LockedImage {
	i := &report.LockedImage{Destination: d.Name, Digest: d.Digest, Source: d.Source, Referrers: d.Referrers}
	if n := len(d.Moves); n > 0 {
		i.Run = d.Moves[n-1].Run
	}
	return i
}
