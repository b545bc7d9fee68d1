package plan

import (
	"context"
	"slices"

	"imagemirror/internal/registry"
)

// A greeting is the first request to a source's registry, a HEAD of one source. The destination
// says whether a source needs HEAD or GET, but a registry that demands a token refuses the first
// request in any case. So that one does not wait for the destination, and the token is there
// once it has answered. If the registry does not refuse, the answer has the source's digest: it
// takes the place of the group's HEAD.
type greeting struct {
	late     chan struct{} // closed when the group asks the source itself: not worth a request now
	answered chan struct{} // closed when digest is set, or nothing was asked
	digest   string        // "" unless the registry gave it
}

// greet greets the registries of sources, each once. The function that it returns ends that.
func greet(ctx context.Context, routes map[registryPair][]*group) (end func()) {
	ctx, end = context.WithCancel(ctx)
	greeted := map[string]bool{}
	for by, groups := range routes {
		for _, g := range groups {
			if !greeted[by.from] && g.asksTag() {
				greeted[by.from] = true
				g.greeting = &greeting{late: make(chan struct{}), answered: make(chan struct{})}
				go g.greeting.ask(ctx, g.targets[0].from, g.source.Tag)
			}
		}
	}
	return end
}

// asksTag reports whether the group's source is asked for its tag, whatever is at the
// destinations, and its digest may suffice.
func (g *group) asksTag() bool {
	if slices.ContainsFunc(g.targets, (*target).changes) {
		return false
	}
	for _, t := range g.targets {
		if g.source.Digest == "" && !t.mayBeKept() {
			return true
		}
	}
	return false
}

func (g *greeting) ask(ctx context.Context, from *registry.Repository, tag string) {
	defer close(g.answered)
	select {
	case <-from.ExpectsChallenge():
		g.digest = from.Greet(ctx, tag)
	case <-g.late:
	case <-ctx.Done():
	}
}

// wait returns the digest that the registry gave, or "" if it gave none.
func (g *greeting) wait() string {
	if g == nil {
		return ""
	}
	close(g.late)
	<-g.answered
	return g.digest
}
