package mirror

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"imagemirror/internal/digest"
	"imagemirror/internal/fault"
	"imagemirror/internal/manifest"
	"imagemirror/internal/reference"
	"imagemirror/internal/registry"
)

// build makes the graph of what the jobs need. Jobs that cannot be carried out end here.
func (e *engine) build(ctx context.Context, jobs []Job) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.left = len(jobs)
	b := &builder{
		engine: e, ctx: ctx,
		parsed: map[string]manifest.Manifest{}, sources: map[string]*registry.Repository{}, sets: map[string]int{},
	}
	for _, j := range jobs {
		state := &jobState{Outcome: Outcome{Job: j}}
		e.jobs = append(e.jobs, state)
		if err := b.add(state); err != nil {
			e.endLocked(state, err)
		}
	}
	for _, state := range e.jobs {
		if err := b.attach(state); err != nil {
			e.endLocked(state, err)
		}
	}
	for _, bl := range e.order {
		slices.SortFunc(bl.registries, func(a, b *registryBlob) int {
			return cmp.Compare(a.queue.registry, b.queue.registry)
		})
	}
}

// A builder adds jobs to an engine's graph. All of its methods need engine.mu.
type builder struct {
	*engine
	ctx     context.Context
	parsed  map[string]manifest.Manifest    // by digest
	sources map[string]*registry.Repository // by name
	sets    map[string]int                  // numbers, by name
	sizes   map[string]int64                // of the blobs of one image, by digest
	only    map[string]bool                 // the manifests below an image that are wanted; nil: all
}

func (b *builder) add(j *jobState) error {
	source, err := b.source(j)
	if err != nil {
		return err
	}
	r, err := b.repo(j)
	if err != nil {
		return err
	}
	if j.Exists {
		r.first.done = true
	}
	m, err := b.image(j, r, source)
	if err != nil {
		return err
	}
	m.jobs = append(m.jobs, j)
	j.manifest = m
	m.needLocked()
	return nil
}

// image adds the manifest of a job.
func (b *builder) image(j *jobState, r *repo, source *registry.Repository) (*wantedManifest, error) {
	if j.IsCurrent() {
		m := &wantedManifest{repo: r, digest: j.Digest, current: true}
		r.current = append(r.current, m)
		return m, nil
	}
	b.sizes, b.only = map[string]int64{}, j.wanted()
	defer func() { b.only = nil }()
	return b.manifest(j, r, source, j.Digest, 0)
}

// wanted returns the manifests below the job's image that are copied, or nil if all are.
func (j *jobState) wanted() map[string]bool {
	if len(j.Only) == 0 {
		return nil
	}
	only := map[string]bool{}
	for _, digest := range j.Only {
		only[digest] = true
	}
	return only
}

// set returns the number of a job's set.
func (b *builder) set(j *jobState) int {
	n, ok := b.sets[j.Set]
	if !ok {
		n = len(b.sets)
		b.sets[j.Set] = n
	}
	return n
}

func (b *builder) source(j *jobState) (*registry.Repository, error) {
	name := j.Source.Name()
	if r := b.sources[name]; r != nil {
		return r, nil
	}
	r, err := b.Client.Source(b.ctx, j.Source)
	if err == nil {
		b.sources[name] = r
	}
	return r, err
}

func (b *builder) repo(j *jobState) (*repo, error) {
	name := j.Destination.Name()
	if r := b.repos[name]; r != nil {
		return r, nil
	}
	to, err := b.Client.Destination(b.ctx, j.Destination, true)
	if err != nil {
		return nil, err
	}
	q := b.queues[to.Registry()]
	if q == nil {
		q = newUploadQueue(to.Registry(), &b.mu, uploadersFor(b.Client.Concurrency()), b.slow)
		b.queues[to.Registry()] = q
	}
	r := &repo{
		to: to, queue: q, blobs: map[blobID]*wantedBlob{}, manifests: map[manifestID]*wantedManifest{},
		lists: b.listsAt(to.Registry() + "/" + to.Path()),
	}
	b.repos[name] = r
	return r, nil
}

// listsAt returns the lists of referrers of a repository. registries.conf may give it several
// names, and each list is written once.
func (b *builder) listsAt(place string) map[string]*referrersList {
	if b.lists[place] == nil {
		b.lists[place] = map[string]*referrersList{}
	}
	return b.lists[place]
}

// manifest adds a manifest, and everything it leads to, to a repository.
func (b *builder) manifest(j *jobState, r *repo, source *registry.Repository, digest string, depth int) (*wantedManifest, error) {
	in := manifestID{digest, b.set(j), j.There, b.only != nil && b.isIndex(digest)}
	if m := r.manifests[in]; m != nil {
		return m, m.err
	}
	if depth > manifest.MaxDepth {
		return nil, badImage(source, "rebuild it with fewer", "reading manifests of %s at the source: the image has more than %d levels of nested indexes", source.Name(), manifest.MaxDepth)
	}
	parsed, err := b.parse(source, digest)
	if err != nil {
		return nil, err
	}
	m := &wantedManifest{repo: r, digest: digest, kind: parsed.MediaType}
	if j.There {
		parsed.Children, parsed.Blobs = nil, nil
	}
	for _, d := range parsed.Children {
		if b.only != nil && !b.only[d.Digest] {
			m.leaveOut(d.Digest)
			continue
		}
		child, err := b.manifest(j, r, source, d.Digest, depth+1)
		if err != nil {
			return nil, err
		}
		m.children = append(m.children, child)
		child.parents = append(child.parents, m)
		m.missing++
	}
	for _, d := range parsed.Blobs {
		w, err := b.blob(j, r, source, d)
		if err != nil {
			return nil, err
		}
		w.waiting = append(w.waiting, m)
		m.missing++
	}
	r.manifests[in] = m
	return m, nil
}

// isIndex reports whether a manifest of the plan is an index, for all that is known of it.
func (b *builder) isIndex(digest string) bool {
	if p, ok := b.parsed[digest]; ok {
		return manifest.IsIndex(p.MediaType)
	}
	m, _ := b.manifests(digest)
	p, _ := manifest.Parse(m.MediaType, m.Content)
	return manifest.IsIndex(p.MediaType)
}

// parse returns what a manifest of the plan leads to, without layers that are not to be copied.
// Each is checked and parsed once.
func (b *builder) parse(source *registry.Repository, named string) (manifest.Manifest, error) {
	if p, ok := b.parsed[named]; ok {
		return p, nil
	}
	m, ok := b.manifests(named)
	if !ok {
		return manifest.Manifest{}, badPlan("the plan lacks the manifest %s", named)
	}
	if got := digest.Of(m.Content); got != named {
		return manifest.Manifest{}, badPlan("the plan's manifest %s has the digest %s", named, got)
	}
	p, err := manifest.Parse(m.MediaType, m.Content)
	if err != nil {
		return p, source.BadManifest(named, err)
	}
	if !b.Foreign {
		p.Blobs = slices.DeleteFunc(p.Blobs, manifest.Descriptor.Foreign)
	}
	b.parsed[named] = p
	return p, nil
}

// blob adds a blob to a repository.
func (b *builder) blob(j *jobState, r *repo, source *registry.Repository, d manifest.Descriptor) (*wantedBlob, error) {
	if size, ok := b.sizes[d.Digest]; ok && size != d.Size {
		return nil, badImage(source, "rebuild the image", "two manifests of the image give the blob %s the sizes %d and %d", d.Digest, size, d.Size)
	}
	b.sizes[d.Digest] = d.Size
	id := blobID{d.Digest, d.Size, b.set(j)}
	bl := b.blobs[id]
	if bl == nil {
		bl = &blob{blobID: id, byRegistry: map[string]*registryBlob{}}
		b.blobs[id] = bl
		b.order = append(b.order, bl)
	}
	if !slices.Contains(bl.sources, source) {
		bl.sources = append(bl.sources, source)
	}
	if w := r.blobs[id]; w != nil {
		return w, nil
	}
	at := bl.byRegistry[r.queue.registry]
	if at == nil {
		at = &registryBlob{blob: bl, queue: r.queue}
		bl.byRegistry[r.queue.registry] = at
		bl.registries = append(bl.registries, at)
	}
	if at.from == "" && len(j.MountFrom) > 0 {
		at.from = j.MountFrom[0]
	}
	if at.from == "" && source.Registry() == r.queue.registry {
		at.from = source.Path()
	}
	w := &wantedBlob{repo: r, blob: bl, owner: j}
	at.wanted = append(at.wanted, w)
	r.blobs[id] = w
	return w, nil
}

// badImage returns the error of an image that contradicts itself.
func badImage(source *registry.Repository, advice, format string, args ...any) error {
	return fault.New(
		fault.Fault{Kind: fault.Image, Side: reference.Source, Host: source.Registry(), Advice: advice}, fmt.Sprintf(format, args...))
}

// badPlan returns the error of a plan that does not have what it needs.
func badPlan(format string, args ...any) error {
	return fault.New(fault.Fault{Kind: fault.Internal, Advice: "make the plan again"}, fmt.Sprintf(format, args...))
}
