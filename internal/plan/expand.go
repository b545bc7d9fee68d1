package plan

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"imagemirror/internal/imageset"
	"imagemirror/internal/mapping"
	"imagemirror/internal/reference"
	"imagemirror/internal/registry"
	"imagemirror/internal/stream"
)

// expand returns a target for each mapping, and for each tag that a wildcard matches. A
// wildcard that matches nothing, or cannot be expanded, becomes one failed target.
func (r *resolver) expand(ctx context.Context, sets []*imageset.Set) []*target {
	var targets []*target
	lists := r.tagLists(ctx, sets)
	for _, set := range sets {
		for _, m := range set.Mappings {
			if m.Source.Wildcard() {
				targets = append(targets, matches(set, m, lists[m.Source.Name()])...)
			} else {
				targets = append(targets, newTarget(set, m, m.Source, m.Destination))
			}
		}
	}
	targets = contested(targets)
	for i, t := range targets {
		t.ID = i + 1
	}
	return targets
}

func newTarget(set *imageset.Set, m mapping.Mapping, source, destination reference.Reference) *target {
	return &target{
		Mapping: stream.Mapping{Source: source.String(), Destination: destination.String(), Set: set.Name, File: m.File, Line: m.Line},
		source:  source, destination: destination, immutable: set.Settings.Keeps(destination.Tag),
	}
}

// A tagList is the answer of one repository.
type tagList struct {
	from  *registry.Repository
	asked question
	tags  []string
	err   error
}

// tagLists reads the tags of every repository that a wildcard names, once each.
func (r *resolver) tagLists(ctx context.Context, sets []*imageset.Set) map[string]*tagList {
	lists := map[string]*tagList{}
	var asked sync.WaitGroup
	places := make(chan struct{}, 2*r.Client.Concurrency())
	for _, set := range sets {
		for _, m := range set.Mappings {
			name := m.Source.Name()
			if !m.Source.Wildcard() || lists[name] != nil {
				continue
			}
			l := &tagList{}
			lists[name] = l
			if l.from, l.err = r.Client.Source(ctx, m.Source); l.err == nil {
				l.asked = ask(reference.Source, l.from.Registry())
				l.from.Announce()
			}
		}
	}
	for _, l := range lists {
		if l.err != nil {
			continue
		}
		places <- struct{}{}
		asked.Go(func() {
			defer func() { <-places }()
			r.readTags(ctx, l)
		})
	}
	asked.Wait()
	return lists
}

func (r *resolver) readTags(ctx context.Context, l *tagList) {
	if ctx.Err() == nil {
		l.tags, l.err = l.from.Tags(ctx)
		slices.Sort(l.tags)
		l.tags = slices.Compact(l.tags)
	}
	if l.err != nil || l.tags == nil && ctx.Err() != nil {
		l.err = r.explain(ctx, l.asked, l.err)
	}
}

// matches returns the targets of a wildcard.
func matches(set *imageset.Set, m mapping.Mapping, list *tagList) []*target {
	var targets []*target
	for _, tag := range list.tags {
		// Registries are not trusted: a tag may be invalid.
		source, err := reference.Parse(m.Source.Name() + ":" + tag)
		if err == nil && m.Source.Match(tag) {
			targets = append(targets, newTarget(set, m, source, m.Destination.WithTag(tag)))
		}
	}
	if len(targets) > 0 {
		return targets
	}
	t := newTarget(set, m, m.Source, m.Destination)
	t.settled = true
	if t.err = list.err; t.err == nil {
		t.err = stream.Blame(reference.Source,
			fmt.Sprintf("no tag of %s matches %s (%d listed)", m.Source.Name(), m.Source.Tag, len(list.tags)),
			"correct the pattern or push a matching tag")
	}
	return []*target{t}
}

// contested fails targets that have the same destination but different sources, which only
// wildcards can cause. It drops repeated mappings: imageset has warned of those that lines
// name.
func contested(targets []*target) []*target {
	name := func(t *target) string { return t.Destination }
	repeated := collide(targets, name, func(other *target) error {
		return stream.Blame(reference.Destination,
			fmt.Sprintf("%s:%d copies %s to the same destination", other.File, other.Line, other.Source), "remove one of the two")
	})
	return slices.DeleteFunc(targets, func(t *target) bool { return repeated[t] })
}

// collide fails targets of different sources that would move the same tag, as at identifies
// it. It returns the targets that repeat an earlier one with the same source.
func collide[P comparable](targets []*target, at func(*target) P, why func(other *target) error) (repeated map[*target]bool) {
	first := map[P]*target{}
	repeated = map[*target]bool{}
	for _, t := range targets {
		if t.settled || t.err != nil || t.destination.Tag == "" {
			continue
		}
		place := at(t)
		other := first[place]
		switch {
		case other == nil:
			first[place] = t
		case other.Source == t.Source:
			repeated[t] = true
		default:
			t.settled, t.err = true, why(other)
			other.settled, other.err = true, why(t)
		}
	}
	return repeated
}
