package plan

import (
	"context"
	"errors"
	"maps"
	"slices"

	"imagemirror/internal/imageset"
	"imagemirror/internal/record"
)

// A recollection is what earlier runs recorded of a set. It is read while registries are asked.
type recollection struct {
	read   chan struct{} // closed when the others are set
	record *record.Record
	err    error
}

// recall begins to read the records of the sets.
func (r *resolver) recall(ctx context.Context, sets []*imageset.Set) {
	r.recalled = map[string]*recollection{}
	if r.Recall == nil {
		return
	}
	for _, set := range sets {
		if r.recalled[set.Name] != nil {
			continue
		}
		m := &recollection{read: make(chan struct{})}
		r.recalled[set.Name] = m
		go func() {
			defer close(m.read)
			m.record, m.err = r.Recall(ctx, set.Name)
		}()
	}
}

// remember sets what earlier runs recorded of targets.
func (r *resolver) remember(targets []*target) {
	for _, t := range targets {
		m := r.recalled[t.Set]
		if m == nil || t.settled {
			continue
		}
		<-m.read
		if !errors.Is(m.err, record.ErrLost) {
			t.unread = m.err
		}
		if m.record != nil {
			t.recorded = m.record.Destination(t.recordedName())
		}
	}
}

// unread returns a warning for each record that could not be read.
func (r *resolver) unread() (warnings []string) {
	for _, set := range slices.Sorted(maps.Keys(r.recalled)) {
		m := r.recalled[set]
		<-m.read
		switch {
		case errors.Is(m.err, record.ErrLost):
			warnings = append(warnings, m.err.Error()+": the run knows nothing of earlier ones, and holds are over")
		case m.err != nil:
			warnings = append(warnings, m.err.Error()+": the run knows nothing of earlier ones, and no tag moves that may be held")
		}
	}
	return slices.Compact(warnings)
}

// recordedName returns the name that the record of the set has for the destination.
func (t *target) recordedName() string {
	if t.destination.Tag == "" {
		return t.Destination + "@" + t.source.Digest
	}
	return t.Destination
}
