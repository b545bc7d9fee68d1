package rollback

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"imagemirror/internal/record"
	"imagemirror/internal/stream"
)

// Blocked reports whether a tag that somebody asked for cannot go back.
func (r *Rollback) Blocked() bool { return r.Count(func(t *Tag) bool { return t.Err != nil }) > 0 }

// Hold records the holds of the tags before they move. It fails, and records none, if the record
// of a tag has changed since the rollback was made: then another digest may be meant.
func (r *Rollback) Hold(ctx context.Context, store record.Store) error {
	holds := r.Holds()
	if len(holds) == 0 {
		return nil
	}
	var changed error
	err := store.Update(ctx, r.options.Set.Name, func(now *record.Record) *record.Record {
		if changed = r.changed(now); changed != nil {
			return now
		}
		return now.WithHolds(holds, r.options.Now())
	})
	if changed != nil {
		return changed
	}
	return err
}

// changed returns an error if a run has recorded news of a tag.
func (r *Rollback) changed(now *record.Record) error {
	for _, t := range r.Tags {
		if d := now.Destination(t.Name); t.chosen() && (d == nil || d.Digest != t.Digest || len(d.Moves) != len(t.Moves)) {
			return fmt.Errorf("a run has recorded %s meanwhile: run rollback again", t.Name)
		}
	}
	return nil
}

// Keep records what became of the tags: those that are where they should be and, of those that
// their registry refused to move, the holds that they had before. The hold of any other tag stays:
// the request to move it may still be on its way.
func (r *Rollback) Keep(ctx context.Context, store record.Store, results *stream.Content) error {
	moved, before := map[string]record.RolledBack{}, map[string]*record.Hold{}
	tags := r.byMapping(results)
	for _, result := range results.Results {
		switch t := tags[result.ID]; {
		case result.Status != stream.Failed:
			moved[t.Name] = record.RolledBack{From: t.From, To: t.To, Platforms: t.platforms}
		case isRefusal(result.Error.Status):
			before[t.Name] = t.Hold
		}
	}
	var raced []error
	err := store.Update(ctx, r.options.Set.Name, func(now *record.Record) *record.Record {
		raced = nil
		for _, t := range tags {
			if d := now.Destination(t.Name); d != nil && !slices.Contains([]string{t.Digest, t.From, t.To}, d.Digest) {
				raced = append(raced, fmt.Errorf("a run that was under way has recorded %s at %s: check where it is, and run rollback again", t.Name, d.Digest))
			}
		}
		return now.WithRolledBack(moved, r.options.Now(), results.Header.Run).WithHolds(before, r.options.Now())
	})
	return errors.Join(append(raced, err)...)
}

// byMapping returns the tags by the IDs of their mappings in the plan.
func (r *Rollback) byMapping(results *stream.Content) map[int]*Tag {
	names := map[string]*Tag{}
	for _, t := range r.Tags {
		names[t.Name] = t
	}
	tags := map[int]*Tag{}
	for _, m := range results.Mappings {
		tags[m.ID] = names[m.Destination]
	}
	return tags
}

// isRefusal reports whether a status means that a registry did not do what it was asked to.
func isRefusal(status int) bool {
	return status >= 400 && status < 500 && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests
}
