package plan

import (
	"context"

	"imagemirror/internal/registry"
)

// preflight fails targets whose destination refuses the credentials, before anything is
// copied. It asks only for destinations of copies, and gets no more tokens than copying will
// need.
func (r *resolver) preflight(ctx context.Context, targets []*target) {
	waiting := map[*registry.Repository][]*target{}
	exists := map[*registry.Repository]bool{}
	for _, t := range targets {
		exists[t.to] = exists[t.to] || t.old != ""
		if !t.settled {
			waiting[t.to] = append(waiting[t.to], t)
		}
	}
	registries := map[string][]*registry.Repository{}
	for _, t := range targets {
		// The first target of each repository stands for it, which keeps the order of the
		// mappings.
		if to := t.to; !t.settled && t == waiting[to][0] && to.AnnouncePush(ctx, exists[to]) {
			registries[to.Registry()] = append(registries[to.Registry()], to)
		}
	}
	each(registries, r.Client.Concurrency(), func(to *registry.Repository) { fail(waiting[to], to.MayPush(ctx)) })
}

// fail fails targets, unless err is nil.
func fail(targets []*target, err error) {
	if err == nil {
		return
	}
	for _, t := range targets {
		t.settled, t.err = true, err
	}
}
