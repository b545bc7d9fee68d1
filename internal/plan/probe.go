package plan

import (
	"cmp"
	"context"
	"sync"

	"imagemirror/internal/imageset"
	"imagemirror/internal/reference"
	"imagemirror/internal/registry"
	"imagemirror/internal/stream"
)

// A Doubt is a mapping that would fail in a run, or do harm.
type Doubt struct {
	stream.Mapping
	Err   error
	Moves bool // an immutable tag would have to move
	Takes bool // it would not fail, but replace what something else seems to publish
	Waits bool // its source was not looked at, since a set leaves the pulls for that to others
}

// Probe checks that the source of each mapping exists and may be read, that it is signed as is
// demanded, and that immutable tags point to the digest of their source. It finds tags that are
// published from elsewhere. It reads digests, lists of tags and signatures. If ctx ends, it returns
// ErrInterrupted.
func Probe(ctx context.Context, o Options, sets []*imageset.Set) ([]Doubt, error) {
	r := newResolver(o)
	r.ageless = true // a run keeps back what is too new
	r.recall(ctx, sets)
	targets := r.targets(ctx, sets, func(batch []*target) {
		r.Progress.mappings.Add(int64(len(batch)))
		each(r.sources(ctx, batch), workers*r.Client.Concurrency(), func(g *group) {
			r.probe(ctx, g)
			r.Progress.note(g.targets...)
		})
	})
	if ctx.Err() != nil {
		return nil, ErrInterrupted
	}
	var doubts []Doubt
	for _, t := range targets {
		if t.err != nil {
			waits, _ := t.isDeferred(t.err)
			doubts = append(doubts, Doubt{Mapping: t.Mapping, Err: t.err, Moves: t.old != "", Waits: waits})
		}
		if t.takeover != nil {
			doubts = append(doubts, Doubt{Mapping: t.Mapping, Err: t.takeover, Takes: true})
		}
	}
	return doubts, nil
}

// sources groups the targets by registry and by source.
func (r *resolver) sources(ctx context.Context, targets []*target) map[registryPair][]*group {
	routes := map[registryPair][]*group{}
	groups := map[reference.Reference]*group{}
	repositories := map[string]*registry.Repository{}
	var used []*registry.Repository
	for _, t := range targets {
		if t.settled || t.err != nil {
			r.Progress.note(t)
			continue
		}
		name := t.source.Name()
		if t.from = repositories[name]; t.from == nil {
			if t.from, t.err = r.Client.Source(ctx, t.source); t.err != nil {
				r.Progress.note(t)
				continue
			}
			repositories[name] = t.from
			used = append(used, t.from)
		}
		g := groups[t.source]
		if g == nil {
			g = &group{source: t.source}
			groups[t.source] = g
			by := registryPair{from: t.from.Registry()}
			routes[by] = append(routes[by], g)
		}
		g.targets = append(g.targets, t)
	}
	announce(ctx, used)
	reservePulls(targets)
	return routes
}

// probe asks for one source and for its destinations.
func (r *resolver) probe(ctx context.Context, g *group) {
	if ctx.Err() != nil {
		return
	}
	digest, err := r.examine(ctx, g)
	if err == nil {
		r.verify(ctx, g.targets[0].from, digest, g.targets)
	}
	var kept sync.WaitGroup
	for _, t := range g.targets {
		switch {
		case err != nil:
			t.err = err
		case t.err == nil && t.immutable && (t.digest != "" || !t.changes()):
			kept.Go(func() { r.keep(ctx, t, cmp.Or(t.digest, digest)) })
		case t.err == nil && !t.immutable && !t.changes():
			kept.Go(func() { r.takeOver(ctx, t, digest) })
		}
	}
	kept.Wait()
}

// keep fails an immutable tag that exists with another digest than the source. A tag that may
// not be read is not an error.
func (r *resolver) keep(ctx context.Context, t *target, digest string) {
	if t.to, t.err = r.Client.Destination(ctx, t.destination, false); t.err != nil {
		return
	}
	if t.askAt(ctx, t.destination.Tag); t.err != nil || t.old == "" || t.old == digest {
		return
	}
	t.digest = digest
	t.err = t.moved()
}
