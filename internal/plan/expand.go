package plan

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"imagemirror/internal/fault"
	"imagemirror/internal/imageset"
	"imagemirror/internal/mapping"
	"imagemirror/internal/reference"
	"imagemirror/internal/registry"
	"imagemirror/internal/settings"
	"imagemirror/internal/stream"
)

// An expansion is a mapping of a set, and its targets once it is expanded.
type expansion struct {
	set     *imageset.Set
	mapping *mapping.Mapping
	list    *wildcardList // nil unless the source is a wildcard
	tags    []string      // that match, once the list is read
	err     error         // why the wildcard makes no mappings
	targets []*target

	rule      *settings.SelectRule // of the set, for a wildcard; nil: all tags that match
	told      bool                 // the plan tells what the rule selects
	selection *stream.Selection    // what the rule selects, once the list is read
}

// targets returns a target for each mapping, and for each tag that a wildcard matches, in the
// order of the mappings. A wildcard that matches nothing, or cannot be expanded, becomes one
// failed target.
//
// It calls resolve for all targets, in batches: one for those that are soon known, and others for
// those whose lists of tags are slow, so that these hold up no other mapping.
func (r *resolver) targets(ctx context.Context, sets []*imageset.Set, resolve func([]*target)) []*target {
	r.matched = newRoom(sets)
	lines := r.readLists(ctx, sets)
	var resolved sync.WaitGroup
	for n, left := 1, lines; len(left) > 0; n++ {
		var batch []*expansion
		batch, left = r.readSoon(ctx, left)
		if n == 1 && len(left) > 0 {
			r.first = map[any]*target{}
		}
		if len(batch) > 0 {
			resolved.Go(func() { resolve(r.expand(n, batch)) })
		}
	}
	resolved.Wait()
	for _, fail := range r.collisions {
		fail()
	}
	var all []*target
	for _, l := range lines {
		all = append(all, l.targets...)
	}
	r.selected = selections(lines)
	for i, t := range all {
		t.ID = i + 1
	}
	return all
}

// readSoon divides lines by whether their lists are read soon. Those that are not wait together
// once more: lists that come at the same time, as all that a slow registry has to answer one after
// the other, become one batch, whose repositories share tokens.
func (r *resolver) readSoon(ctx context.Context, lines []*expansion) (read, left []*expansion) {
	// Reading ends with ctx, and then there are no others to wait for.
	enough, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.patience())
	defer cancel()
	for _, l := range lines {
		if l.list == nil || l.list.isReadBefore(enough) {
			read = append(read, l)
		} else {
			left = append(left, l)
		}
	}
	return read, left
}

// patience returns how long a batch waits for the answers that it is made of. What takes longer
// is dealt with by itself.
func (r *resolver) patience() time.Duration { return r.Client.Patience() / 6 }

// expand sets the targets of the nth batch of lines, whose lists are read, and returns them.
func (r *resolver) expand(n int, batch []*expansion) []*target {
	var targets []*target
	for _, l := range batch {
		if l.list != nil {
			l.targets = l.matches()
		} else {
			l.targets = []*target{newTarget(l.set, *l.mapping, l.mapping.Source, l.mapping.Destination)}
		}
		for _, t := range l.targets {
			t.batch = n
		}
		l.list, l.tags = nil, nil
		targets = append(targets, l.targets...)
	}
	repeated := r.contested(targets)
	if len(repeated) == 0 {
		return targets
	}
	drop := func(t *target) bool { return repeated[t] }
	for _, l := range batch {
		l.targets = slices.DeleteFunc(l.targets, drop)
	}
	return slices.DeleteFunc(targets, drop)
}

func newTarget(set *imageset.Set, m mapping.Mapping, source, destination reference.Reference) *target {
	given := set.Settings.WithDefaults()
	return &target{
		Mapping: stream.Mapping{Source: source.String(), Destination: destination.String(), Set: set.Name, File: m.File, Line: m.Line},
		source:  source, destination: destination, immutable: set.Settings.Keeps(destination.Tag),
		referrers: given.Referrers, platforms: given.Platforms, settings: &set.Settings, public: set.Public(),
		demands: set.Demands(source, destination),
	}
}

// A wildcardList is the list of one repository.
type wildcardList struct {
	from   *registry.Repository
	asked  question
	lines  []*expansion  // the wildcards that it is for
	read   chan struct{} // closed when the lines have their tags or their errors
	listed int           // number of tags
	err    error
}

// isReadBefore waits for the list until ctx ends, and reports whether it is there.
func (l *wildcardList) isReadBefore(ctx context.Context) bool {
	select {
	case <-l.read:
		return true
	case <-ctx.Done():
	}
	select {
	case <-l.read:
		return true
	default:
		return false
	}
}

// readLists returns the mappings of the sets. It begins to read the tags of every repository
// that a wildcard names, once each.
func (r *resolver) readLists(ctx context.Context, sets []*imageset.Set) []*expansion {
	var lines []*expansion
	lists := map[string]*wildcardList{}
	unread := map[string][]*wildcardList{} // by registry
	for _, set := range sets {
		for i := range set.Mappings {
			m := &set.Mappings[i]
			l := &expansion{set: set, mapping: m}
			if m.Source.Wildcard() {
				name := m.Source.Name()
				if lists[name] == nil {
					lists[name] = r.newList(ctx, m.Source, unread)
				}
				l.list = lists[name]
				l.list.lines = append(l.list.lines, l)
				l.rule = set.Settings.Select.For(m.Source)
			}
			lines = append(lines, l)
		}
	}
	chooseTold(lines)
	go each(unread, r.Client.Concurrency(), func(l *wildcardList) {
		defer close(l.read)
		r.readTags(ctx, l)
	})
	return lines
}

// newList returns the list of tags of a repository, and adds it to unread unless its registry
// is not known.
func (r *resolver) newList(ctx context.Context, source reference.Reference, unread map[string][]*wildcardList) *wildcardList {
	l := &wildcardList{read: make(chan struct{})}
	if l.from, l.err = r.Client.Source(ctx, source); l.err != nil {
		close(l.read)
		return l
	}
	at := l.from.Registry()
	l.asked = ask(reference.Source, at)
	l.from.Announce(ctx)
	unread[at] = append(unread[at], l)
	return l
}

// readTags reads a list, and gives its lines the tags that match, as far as there is room.
func (r *resolver) readTags(ctx context.Context, list *wildcardList) {
	var tags []string
	if ctx.Err() == nil {
		tags, list.err = list.from.Tags(ctx)
		slices.Sort(tags)
		tags = slices.Compact(tags)
		if list.err == nil {
			r.companionsIn(list.from, func() ([]string, error) { return tags, nil })
		}
	}
	if list.err != nil || tags == nil && ctx.Err() != nil {
		list.err = r.explain(ctx, list.asked, list.err)
		return
	}
	list.listed = len(tags)
	if list.err = r.selectTags(ctx, list, tags); list.err != nil {
		list.err = r.explain(ctx, list.asked, list.err)
		return
	}
	for _, l := range list.lines {
		if l.err == nil {
			l.err = r.matched.take(l.mapping, l.tags)
		}
		if l.err != nil {
			l.tags = nil
		}
	}
}

// matches returns the targets of a wildcard.
func (l *expansion) matches() []*target {
	m := *l.mapping
	var targets []*target
	for _, tag := range l.tags {
		targets = append(targets, newTarget(l.set, m, m.Source.WithTag(tag), m.Destination.WithTag(tag)))
	}
	if len(targets) > 0 {
		return targets
	}
	t := newTarget(l.set, m, m.Source, m.Destination)
	t.settled = true
	if t.err = cmp.Or(l.list.err, l.err); t.err == nil {
		t.err = fault.New(
			fault.Fault{Kind: fault.Missing, Side: reference.Source, Host: m.Source.Registry, Advice: "correct the pattern or push a matching tag"},
			fmt.Sprintf("no tag of %s matches %s (%d listed)", m.Source.Name(), m.Source.Tag, l.list.listed))
	}
	return []*target{t}
}

// contested fails targets that have the same destination but different sources, which only
// wildcards can cause. It returns repeated mappings: imageset has warned of those that lines
// name.
func (r *resolver) contested(targets []*target) (repeated map[*target]bool) {
	name := func(t *target) any { return t.Destination }
	return r.collide(targets, name, func(other *target) error {
		return fault.New(
			fault.Fault{Kind: fault.Conflict, Side: reference.Destination, Advice: "remove one of the two"},
			fmt.Sprintf("%s:%d copies %s to the same destination", other.File, other.Line, other.Source))
	})
}

// collide fails targets of different sources that would move the same tag, as at identifies
// it. It returns the targets that repeat an earlier one with the same source. A target of
// another batch may be under way, so that it fails at the end.
func (r *resolver) collide(targets []*target, at func(*target) any, why func(other *target) error) (repeated map[*target]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := r.first
	if first == nil { // there is one batch
		first = map[any]*target{}
	}
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
		case other.batch == t.batch:
			t.settled, t.err = true, why(other)
			other.settled, other.err = true, why(t)
		default:
			t.settled, t.err = true, why(other)
			r.collisions = append(r.collisions, func() { other.settled, other.err = true, why(t) })
		}
	}
	return repeated
}
