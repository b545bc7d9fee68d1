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

// expand makes a target of each mapping, and of each tag that a wildcard matches. What a wildcard could not be expanded
// to stays one target, failed.
func (r *resolver) expand(ctx context.Context, sets []*imageset.Set) []*target {
	var targets []*target
	lists := r.tagLists(ctx, sets)
	for _, set := range sets {
		for _, m := range set.Mappings {
			if m.Source.Wildcard() {
				targets = append(targets, matches(set.Name, m, lists[m.Source.Name()])...)
			} else {
				targets = append(targets, newTarget(set.Name, m, m.Source, m.Destination))
			}
		}
	}
	targets = contested(targets)
	for i, t := range targets {
		t.ID = i + 1
	}
	return targets
}

func newTarget(set string, m mapping.Mapping, source, destination reference.Reference) *target {
	return &target{
		Mapping: stream.Mapping{Source: source.String(), Destination: destination.String(), Set: set, File: m.File, Line: m.Line},
		source:  source, destination: destination,
	}
}

// tagList is what a repository answered.
type tagList struct {
	tags []string
	err  error
}

// tagLists asks for the tags of every repository that a wildcard names, each once.
func (r *resolver) tagLists(ctx context.Context, sets []*imageset.Set) map[string]*tagList {
	lists := map[string]*tagList{}
	var asked sync.WaitGroup
	places := make(chan struct{}, 2*r.Client.Concurrency())
	from := map[*tagList]*registry.Repository{}
	for _, set := range sets {
		for _, m := range set.Mappings {
			name := m.Source.Name()
			if !m.Source.Wildcard() || lists[name] != nil {
				continue
			}
			l := &tagList{}
			lists[name] = l
			var repository *registry.Repository
			if repository, l.err = r.Client.Source(ctx, m.Source); l.err == nil {
				repository.Announce()
				from[l] = repository
			}
		}
	}
	for l, repository := range from {
		places <- struct{}{}
		asked.Go(func() {
			defer func() { <-places }()
			l.tags, l.err = r.tags(ctx, repository)
		})
	}
	asked.Wait()
	return lists
}

func (r *resolver) tags(ctx context.Context, from *registry.Repository) ([]string, error) {
	if ctx.Err() != nil {
		return nil, ErrInterrupted
	}
	tags, err := from.Tags(ctx)
	if err != nil && ctx.Err() != nil {
		return nil, ErrInterrupted
	}
	slices.Sort(tags)
	return slices.Compact(tags), err
}

// matches are the targets of a wildcard.
func matches(set string, m mapping.Mapping, list *tagList) []*target {
	var targets []*target
	for _, tag := range list.tags {
		// A registry's word is not to be trusted: a tag may be none.
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
		t.err = fmt.Errorf("none of the %d tags of %s matches %s: correct the pattern, or push such a tag", len(list.tags), m.Source.Name(), m.Source.Tag)
	}
	return []*target{t}
}

// contested fails all targets for one destination where their sources differ, which only wildcards can bring about. Of
// the same mapping twice the first is kept: where a line names the tag, imageset has warned of it.
func contested(targets []*target) []*target {
	first := map[string]*target{}
	return slices.DeleteFunc(targets, func(t *target) bool {
		if t.destination.Tag == "" {
			return false
		}
		other := first[t.Destination]
		if other == nil {
			first[t.Destination] = t
			return false
		}
		if other.Source == t.Source {
			return true
		}
		for _, pair := range [][2]*target{{t, other}, {other, t}} {
			pair[0].settled = true
			pair[0].err = fmt.Errorf("%s:%d brings %s to the same destination: leave one of the two out", pair[1].File, pair[1].Line, pair[1].Source)
		}
		return false
	})
}
