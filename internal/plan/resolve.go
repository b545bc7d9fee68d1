package plan

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"sync"

	"imagemirror/internal/manifest"
	"imagemirror/internal/reference"
	"imagemirror/internal/regerror"
	"imagemirror/internal/registry"
	"imagemirror/internal/stream"
)

// resolver asks the registries.
type resolver struct {
	Options
	trees *trees
}

// group is the targets of one source, which is asked once.
type group struct {
	source  reference.Reference
	targets []*target
}

// registryPair is a pair of registries. Each has workers of its own, so that a slow registry holds up no others.
type registryPair struct{ from, to string }

// workers is how many groups of a route are under way for each request in flight. One asks one registry after the other, so it takes
// two, and some more: while it is found out how one registry wants to be authenticated to, the other goes on.
const workers = 8

// resolve finds out what each target needs.
func (r *resolver) resolve(ctx context.Context, targets []*target) {
	routes := r.routes(ctx, targets)
	for _, t := range targets {
		if t.settled {
			r.Progress.resolved.Add(1)
		}
	}
	each(routes, workers*r.Client.Concurrency(), func(g *group) {
		r.settle(ctx, g)
		r.Progress.resolved.Add(int64(len(g.targets)))
	})
}

// each does what is in all lists, side by side, and of each list as much at once as there are workers.
func each[K comparable, T any](lists map[K][]T, workers int, do func(T)) {
	var all sync.WaitGroup
	for _, list := range lists {
		next := make(chan T)
		for range min(len(list), workers) {
			all.Go(func() {
				for item := range next {
					do(item)
				}
			})
		}
		all.Go(func() {
			defer close(next)
			for _, item := range list {
				next <- item
			}
		})
	}
	all.Wait()
}

// routes groups the targets by source, and announces the repositories that will be asked in the order in which they will be.
func (r *resolver) routes(ctx context.Context, targets []*target) map[registryPair][]*group {
	routes := map[registryPair][]*group{}
	groups := map[reference.Reference]*group{}
	repositories := map[[2]string]*registry.Repository{}
	for _, t := range targets {
		if !t.settled {
			_ = r.locate(ctx, t, repositories) // result tells of it
		}
	}
	r.meet(targets)
	for _, t := range targets {
		if t.settled || t.err != nil {
			t.settled = true
			continue
		}
		g := groups[t.source]
		if g == nil {
			g = &group{source: t.source}
			groups[t.source] = g
			by := registryPair{t.from.Registry(), t.to.Registry()}
			routes[by] = append(routes[by], g)
		}
		g.targets = append(g.targets, t)
	}
	for _, t := range targets {
		if !t.settled && t.err == nil {
			t.from.Announce()
			t.to.Announce()
		}
	}
	return routes
}

// meet fails the targets of different sources that registries.conf leads to one tag, though their destinations have
// different names.
func (r *resolver) meet(targets []*target) {
	type place struct{ registry, path, tag string }
	at := func(t *target) place { return place{t.to.Registry(), t.to.Path(), t.destination.Tag} }
	collide(targets, at, func(other *target) error {
		return fmt.Errorf("%s:%d brings %s to %s, which registries.conf leads to the same destination: leave one of the two out",
			other.File, other.Line, other.Source, other.Destination)
	})
}

// locate finds the two repositories of a target, of which there are few for many targets.
func (r *resolver) locate(ctx context.Context, t *target, known map[[2]string]*registry.Repository) error {
	source, destination := [2]string{string(reference.Source), t.source.Name()}, [2]string{string(reference.Destination), t.destination.Name()}
	if t.from = known[source]; t.from == nil {
		if t.from, t.err = r.Client.Source(ctx, t.source); t.err != nil {
			return t.err
		}
		known[source] = t.from
	}
	if t.to = known[destination]; t.to == nil {
		if t.to, t.err = r.Client.Destination(ctx, t.destination, false); t.err != nil {
			t.to = nil
			return t.err
		}
		known[destination] = t.to
	}
	return nil
}

// settle finds out what the targets of one source need.
func (r *resolver) settle(ctx context.Context, g *group) {
	if ctx.Err() == nil {
		r.askDestinations(ctx, g)
	}
	var open []*target
	for _, t := range g.targets {
		if t.err == nil && ctx.Err() == nil && !r.kept(t) {
			open = append(open, t)
		}
	}
	if len(open) > 0 {
		if err := r.askSource(ctx, g.source, open); err != nil {
			for _, t := range open {
				t.err = cmp.Or(t.err, err)
			}
		}
	}
	for _, t := range g.targets {
		if ctx.Err() != nil && (t.err != nil || t.digest == "") {
			t.err = ErrInterrupted
		}
		t.settled = t.err != nil || t.digest == t.old
	}
}

// result returns what became of a target that is settled.
func (t *target) result() stream.Result {
	r := stream.Result{ID: t.ID, Status: stream.Current, Digest: t.digest, Old: t.old}
	if t.err != nil {
		r.Status, r.Error = stream.Failed, stream.ErrorOf(t.err)
	}
	return r
}

// askDestinations asks for the digest that each destination's tag is at.
func (r *resolver) askDestinations(ctx context.Context, g *group) {
	var all sync.WaitGroup
	for _, t := range g.targets[1:] {
		all.Go(func() { t.old, t.err = askDestination(ctx, t) })
	}
	g.targets[0].old, g.targets[0].err = askDestination(ctx, g.targets[0])
	all.Wait()
}

func askDestination(ctx context.Context, t *target) (string, error) {
	identifier := t.destination.Tag
	if identifier == "" {
		identifier = t.source.Digest
	}
	digest, err := t.to.Head(ctx, identifier)
	switch regerror.StatusOf(err) {
	case http.StatusNotFound, http.StatusUnauthorized, http.StatusForbidden:
		// Registries answer for a repository that does not exist as for one that may not be read (quay.io, Harbor and
		// Artifactory do). If it may not be pushed to either, copy will be told so.
		return "", nil
	}
	return digest, err
}

// askSource pins the source's digest, and reads the manifests where a destination lacks it.
func (r *resolver) askSource(ctx context.Context, source reference.Reference, targets []*target) error {
	from := targets[0].from
	digest, known, err := r.pin(ctx, from, source, targets)
	if err != nil {
		return err
	}
	copying := false
	for _, t := range targets {
		t.digest = digest
		switch {
		case t.old == digest:
		case t.immutable && t.old != "":
			t.err = t.moved()
		default:
			copying = true
		}
	}
	if !copying {
		return nil
	}
	return r.trees.need(ctx, from, digest, known)
}

// pin finds the source's digest with the one request that serves best: none for a digest, HEAD where all destinations
// exist and may be current, and else GET, whose answer is needed anyway.
func (r *resolver) pin(ctx context.Context, from *registry.Repository, source reference.Reference, targets []*target) (string, *manifest.Raw, error) {
	if source.Digest != "" {
		return source.Digest, nil, nil
	}
	for _, t := range targets {
		if t.old == "" {
			m, err := from.Manifest(ctx, source.Tag)
			return m.Digest, &m, err
		}
	}
	digest, err := from.Head(ctx, source.Tag)
	return digest, nil, err
}
