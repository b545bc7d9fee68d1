package plan

import (
	"context"
	"sync"

	"imagemirror/internal/registry"
)

// startPreflights starts the preflight of each registry, which waits until it is known what will
// be copied there. The caller waits for the end of all.
func (r *resolver) startPreflights(ctx context.Context, targets []*target) *sync.WaitGroup {
	destinations := map[string][]*target{} // by registry
	undecided := map[string]*sync.WaitGroup{}
	for _, t := range targets {
		if t.settled {
			continue
		}
		at := t.to.Registry()
		if undecided[at] == nil {
			undecided[at] = &sync.WaitGroup{}
		}
		destinations[at] = append(destinations[at], t)
		t.undecided = undecided[at]
		t.undecided.Add(1)
	}
	var checked sync.WaitGroup
	for at, there := range destinations {
		checked.Go(func() {
			undecided[at].Wait()
			r.preflight(ctx, there)
		})
	}
	return &checked
}

// preflight sets refused for targets on one registry whose destination refuses the credentials,
// before anything is copied. It asks only for destinations of targets that are copying, so it gets
// no more tokens than copying will need, unless a source fails meanwhile.
func (r *resolver) preflight(ctx context.Context, targets []*target) {
	waiting := map[*registry.Repository][]*target{}
	exists := map[*registry.Repository]bool{}
	for _, t := range targets {
		exists[t.to] = exists[t.to] || t.old != ""
		if t.copying {
			waiting[t.to] = append(waiting[t.to], t)
		}
	}
	registries := map[string][]*registry.Repository{}
	for _, t := range targets {
		// The first target of each repository stands for it, which keeps the order of the
		// mappings.
		if to := t.to; t.copying && t == waiting[to][0] && to.AnnouncePush(ctx, exists[to]) {
			registries[to.Registry()] = append(registries[to.Registry()], to)
		}
	}
	each(registries, r.Client.Concurrency(), func(to *registry.Repository) {
		err := to.MayPush(ctx)
		for _, t := range waiting[to] {
			t.refused = err
		}
	})
}
