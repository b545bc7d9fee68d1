package plan

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"imagemirror/internal/fault"
	"imagemirror/internal/manifest"
	"imagemirror/internal/reference"
	"imagemirror/internal/regerror"
	"imagemirror/internal/registry"
	"imagemirror/internal/stream"
)

// A resolver asks the registries about targets.
type resolver struct {
	Options
	ahead   *ahead // nil if Ready is told nothing
	trees   *trees
	matched *room
	started time.Time
	configs chan struct{} // has an entry for each config that is being read
	large   chan struct{} // has an entry if a large attestation is being read
	ageless bool          // no image is too new

	selected []stream.Selection // once the targets are known

	mu         sync.Mutex
	first      map[any]*target          // the first target at a place: see collide; nil if there is one batch
	collisions []func()                 // fail targets of other batches
	companions map[string]*companions   // by source repository
	images     map[string]int           // by source repository
	answers    answers                  // see attachLater
	recalled   map[string]*recollection // by set
	verified   map[verified]*verification
}

func newResolver(o Options) *resolver {
	if o.Progress == nil {
		o.Progress = &Progress{}
	}
	return &resolver{
		Options: o, trees: newTrees(), started: time.Now().UTC(), configs: make(chan struct{}, configsRead), large: make(chan struct{}, 1),
		companions: map[string]*companions{}, images: map[string]int{}, verified: map[verified]*verification{},
	}
}

// A group is the targets of one source, which is asked once.
type group struct {
	source  reference.Reference
	targets []*target

	greeting *greeting // nil unless the source is the one that its registry is greeted with

	pinning sync.Mutex // held while the source is pinned
	pinned  string     // the digest of its tag, once that is known; guarded by pinning
}

// A registryPair is a source and a destination registry. Each pair has its own workers, so
// that a slow registry delays no other.
type registryPair struct{ from, to string }

// workers is the number of groups that a registryPair has in progress per request slot. A
// group asks one registry after the other, so it takes two to use all slots. More keep one
// registry busy while the other one's authentication is being negotiated.
const workers = 8

// resolve settles targets that are current or failed. The others have to be copied. While
// manifests are read, it asks whether the destinations of copies accept pushes.
func (r *resolver) resolve(ctx context.Context, targets []*target) {
	r.remember(targets)
	routes := r.routes(ctx, targets)
	for _, t := range targets {
		if t.settled {
			r.Progress.note(t)
		}
	}
	if r.Ready != nil && r.first == nil { // these are all targets
		r.ahead = r.newAhead(targets)
	}
	preflights := r.startPreflights(ctx, targets)
	greeted := greet(ctx, routes)
	each(routes, workers*r.Client.Concurrency(), func(g *group) {
		r.settle(ctx, g)
		r.ahead.note(false, g.targets...) // but for those that are copied, as askSource noted
		r.Progress.note(g.targets...)
	})
	greeted()
	preflights.Wait()
	for _, t := range targets {
		if !t.settled && t.refused != nil {
			t.settled, t.err = true, t.refused
			r.Progress.failed.Add(1)
		}
	}
	r.checkPublic(ctx, targets)
}

// each calls do for every item, in order, with up to workers goroutines per list.
func each[K comparable, T any](lists map[K][]T, workers int, do func(T)) {
	var all sync.WaitGroup
	for _, list := range lists {
		var taken atomic.Int64
		for range min(len(list), workers) {
			all.Go(func() {
				for i := taken.Add(1); i <= int64(len(list)); i = taken.Add(1) {
					do(list[i-1])
				}
			})
		}
	}
	all.Wait()
}

// routes groups the targets by registries and by source. It announces the repositories that
// will be asked, in that order.
func (r *resolver) routes(ctx context.Context, targets []*target) map[registryPair][]*group {
	routes := map[registryPair][]*group{}
	groups := map[reference.Reference]*group{}
	repositories := map[[2]string]*registry.Repository{}
	for _, t := range targets {
		if !t.settled {
			_ = r.locate(ctx, t, repositories) // sets t.err
		}
	}
	r.meet(targets)
	reservePulls(targets)
	now := time.Now()
	for _, t := range targets {
		t.settleRecorded(now)
		if t.settled || t.err != nil {
			t.settled = true
			continue
		}
		g := groups[t.source]
		if g == nil {
			g = &group{source: t.source}
			groups[t.source] = g
			r.countImage(t.from)
			by := registryPair{t.from.Registry(), t.to.Registry()}
			routes[by] = append(routes[by], g)
		}
		g.targets = append(g.targets, t)
		t.asked = ask(reference.Source, t.from.Registry())
	}
	var used []*registry.Repository
	for _, t := range targets {
		if !t.settled && t.err == nil {
			used = append(used, t.from, t.to)
		}
	}
	announce(ctx, used)
	return routes
}

// announce announces repositories, in one step: requests of another batch may be under way.
func announce(ctx context.Context, used []*registry.Repository) {
	var all []registry.Announcement
	seen := map[*registry.Repository]bool{}
	for _, at := range used {
		if !seen[at] {
			seen[at] = true
			all = append(all, registry.Announcement{Repository: at})
		}
	}
	registry.AnnounceAll(ctx, all, false)
}

// meet fails targets of different sources whose destinations have different names, but are
// the same tag because of registries.conf.
func (r *resolver) meet(targets []*target) {
	at := func(t *target) any { return t.placeOf(t.destination.Tag) }
	r.collide(targets, at, func(other *target) error {
		return fault.New(
			fault.Fault{Kind: fault.Conflict, Side: reference.Destination, Advice: "remove one of the two"},
			fmt.Sprintf("%s:%d copies %s to %s, which is the same destination because of registries.conf", other.File, other.Line, other.Source, other.Destination))
	})
}

// locate sets the two repositories of a target. known holds those of earlier targets.
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

// settle resolves the targets of one source. A destination that is slow to answer does not keep
// the others waiting.
func (r *resolver) settle(ctx context.Context, g *group) {
	if len(g.targets) == 1 { // nearly all: there are no others
		askDestination(ctx, g.targets[0])
		r.settleAnswered(ctx, g, g.targets)
		return
	}
	answers := askDestinations(ctx, g.targets)
	enough := time.NewTimer(r.patience())
	defer enough.Stop()
	left := len(g.targets)
	var answered []*target
	for waits := true; left > 0 && waits; {
		select {
		case t := <-answers:
			answered = append(answered, t)
			left--
		case <-enough.C:
			waits = false
		}
	}
	var settled sync.WaitGroup
	if len(answered) > 0 {
		settled.Go(func() { r.settleAnswered(ctx, g, answered) })
	}
	for range left {
		t := <-answers
		settled.Go(func() { r.settleAnswered(ctx, g, []*target{t}) })
	}
	settled.Wait()
}

// settleAnswered resolves targets of a source whose destinations have answered.
func (r *resolver) settleAnswered(ctx context.Context, g *group, targets []*target) {
	defer decide(targets, nil)
	var open []*target
	for _, t := range targets {
		if t.err == nil && ctx.Err() == nil && !r.kept(t) {
			open = append(open, t)
		}
	}
	if len(open) > 0 {
		if err := r.askSource(ctx, g, targets, open); err != nil {
			for _, t := range open {
				t.err = cmp.Or(t.err, err)
			}
		}
	}
	r.verifyKept(ctx, targets, open)
	for _, t := range targets {
		if deferred, _ := t.isDeferred(t.err); !deferred && (t.err != nil || t.digest == "") {
			t.err = r.explain(ctx, t.asked, t.err)
		}
	}
	decide(targets, nil)
	r.attachLater(ctx, targets)
	for _, t := range targets {
		t.settled = t.err != nil || t.held != "" || t.current() && !t.brings()
	}
}

// result returns the result of a settled target.
func (t *target) result() stream.Result {
	if deferred, allowed := t.isDeferred(t.err); deferred {
		return t.deferred(allowed)
	}
	r := stream.Result{ID: t.ID, Status: stream.Current, Digest: t.digest, Old: t.old, Time: time.Now().UTC(), Recorded: t.fromRecord, Public: t.answer}
	switch {
	case t.err != nil:
		r.Status, r.Error = stream.Failed, stream.ErrorOf(t.err)
	case t.held != "":
		r.Status, r.Note = stream.Held, t.held
	default:
		r.Travelled, r.Platforms, r.Rewritten = t.failedAttachments(), t.names(), t.part.rewritten
	}
	return r
}

// askDestinations asks for the digest of each destination's tag, and returns where the targets
// come out, in the order of the answers.
func askDestinations(ctx context.Context, targets []*target) <-chan *target {
	answers := make(chan *target, len(targets))
	for _, t := range targets {
		go func() {
			askDestination(ctx, t)
			answers <- t
		}()
	}
	return answers
}

// askDestination sets the target's digest, or why it is not known. It asks nothing after ctx's end.
func askDestination(ctx context.Context, t *target) {
	if ctx.Err() == nil && !t.askedLater() {
		t.askAt(ctx, cmp.Or(t.destination.Tag, t.source.Digest))
	}
}

// askAt sets what is at a tag or a digest of the target's destination, or why that is not known.
func (t *target) askAt(ctx context.Context, identifier string) {
	var at manifest.Descriptor
	at, t.err = headDestination(ctx, t, identifier)
	t.old, t.single = at.Digest, manifest.IsManifest(at.MediaType) && !manifest.IsIndex(at.MediaType)
}

func headDestination(ctx context.Context, t *target, identifier string) (manifest.Descriptor, error) {
	t.asked = ask(reference.Destination, t.to.Registry())
	at, err := t.to.Describe(ctx, identifier)
	switch regerror.StatusOf(err) {
	case http.StatusNotFound, http.StatusUnauthorized, http.StatusForbidden:
		// For a repository that does not exist, quay.io, Harbor and Artifactory answer as for
		// one that may not be read. If it may not be pushed to either, preflight finds out.
		return manifest.Descriptor{}, nil
	}
	return at, err
}
