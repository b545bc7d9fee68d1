package plan

import (
	"context"
	"slices"
	"sync"

	"imagemirror/internal/registry"
)

// A preflight finds out whether the repositories of one registry accept the credentials, before
// anything is copied there. It asks only for destinations of targets that are copying, so it gets
// no more tokens than copying will need, unless a source fails meanwhile.
type preflight struct {
	*resolver
	targets      []*target
	destinations map[*registry.Repository]*pushDestination
}

// A pushDestination is a repository with the targets that go there.
type pushDestination struct {
	to        *registry.Repository
	targets   []*target
	undecided sync.WaitGroup // counts targets for which it is not known yet whether they are copied
	announced bool
}

// startPreflights starts the preflight of each registry. The caller waits for the end of all.
func (r *resolver) startPreflights(ctx context.Context, targets []*target) *sync.WaitGroup {
	registries := map[string]*preflight{}
	for _, t := range targets {
		if t.settled {
			continue
		}
		p := registries[t.to.Registry()]
		if p == nil {
			p = &preflight{resolver: r, destinations: map[*registry.Repository]*pushDestination{}}
			registries[t.to.Registry()] = p
		}
		p.add(t)
	}
	var announced, checked sync.WaitGroup
	for _, p := range registries {
		announced.Add(1)
		checked.Go(func() {
			asked := p.announce(ctx)
			announced.Done()
			p.check(ctx, asked)
		})
	}
	checked.Go(func() {
		announced.Wait()
		r.ahead.begin()
	})
	return &checked
}

func (p *preflight) add(t *target) {
	d := p.destinations[t.to]
	if d == nil {
		d = &pushDestination{to: t.to}
		p.destinations[t.to] = d
	}
	p.targets, d.targets = append(p.targets, t), append(d.targets, t)
	t.undecided = &d.undecided
	t.undecided.Add(1)
}

// announce announces the repositories that are pushed to, in the order of the mappings, and
// returns those that tokens tell about. It does not wait until all targets are decided: the
// first tokens are prefetched while the last destinations are asked what they have.
func (p *preflight) announce(ctx context.Context) (asked []*pushDestination) {
	for _, t := range p.targets {
		d := p.destinations[t.to]
		d.undecided.Wait()
		if !t.copying || d.announced {
			continue
		}
		d.announced = true
		if !d.to.IsChallenged() { // an answer to another target may be the challenge
			p.awaitAll()
		}
		if d.to.AnnouncePush(ctx, d.exists()) {
			asked = append(asked, d)
		} else {
			p.ahead.check(nil, d.copying())
		}
	}
	return asked
}

// awaitAll waits until it is known for every target whether it is copied.
func (p *preflight) awaitAll() {
	for _, d := range p.destinations {
		d.undecided.Wait()
	}
}

// check sets refused for targets whose destination refuses the credentials.
func (p *preflight) check(ctx context.Context, asked []*pushDestination) {
	each(map[*preflight][]*pushDestination{p: asked}, p.Client.Concurrency(), func(d *pushDestination) {
		p.ahead.check(d.to.MayPush(ctx), d.copying())
	})
}

// exists reports whether the repository is known to be there.
func (d *pushDestination) exists() bool {
	return slices.ContainsFunc(d.targets, func(t *target) bool { return t.old != "" })
}

// copying returns the targets that are copied.
func (d *pushDestination) copying() (copying []*target) {
	for _, t := range d.targets {
		if t.copying {
			copying = append(copying, t)
		}
	}
	return copying
}
