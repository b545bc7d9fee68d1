package mirror

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"imagemirror/internal/digest"
	"imagemirror/internal/manifest"
	"imagemirror/internal/registry"
)

// repo is a destination repository.
type repo struct {
	to     *registry.Repository
	lane   *lane
	places map[content]*place
	nodes  map[string]*node // by manifest digest
	door   door
}

// node is a manifest that has to be in a repository.
type node struct {
	repo     *repo
	m        registry.Manifest
	missing  int     // places and children that are not there yet
	children []*node // manifests that it leads to
	parents  []*node // indexes in the same repository
	jobs     []*job  // that want a tag on it, or just its digest
	needs    int     // jobs without an outcome, and parents that are needed
	there    bool    // the registry has it
	err      error
}

// place is a blob that has to be in a repository.
type place struct {
	repo    *repo
	blob    *blob
	owner   *job    // the first that needed it
	waiting []*node // manifests that need it
}

// blob is content that is wanted in one or more places.
type blob struct {
	digest     string
	size       int64
	sources    []*registry.Repository
	presences  []*presence // by destination registry, in the order of registries
	byRegistry map[string]*presence
}

// content is what a manifest says of a blob. One that gives a wrong size fails alone.
type content struct {
	digest string
	size   int64
}

// presence is a blob on one destination registry: the first place gets it by an upload, and the others by mounts.
type presence struct {
	blob   *blob
	lane   *lane
	from   string // path of a repository on the registry that is said to have it
	places []*place
	leader int // index in places of the one that is, or was, uploaded to
}

// build makes the graph of what the jobs need. Jobs that cannot be carried out end here.
func (e *engine) build(ctx context.Context, jobs []Job, manifests map[string]registry.Manifest) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.left = len(jobs)
	b := &builder{engine: e, ctx: ctx, manifests: manifests, parsed: map[string]manifest.Manifest{}, from: map[string]*registry.Repository{}}
	for _, j := range jobs {
		job := &job{Outcome: Outcome{Job: j}}
		e.jobs = append(e.jobs, job)
		if err := b.add(job); err != nil {
			e.end(job, err)
		}
	}
	for _, blob := range e.order {
		slices.SortFunc(blob.presences, func(a, b *presence) int {
			if a.lane.registry < b.lane.registry {
				return -1
			}
			return 1
		})
	}
}

type builder struct {
	*engine
	ctx       context.Context
	manifests map[string]registry.Manifest
	parsed    map[string]manifest.Manifest
	from      map[string]*registry.Repository
	sizes     map[string]int64 // of the blobs of one image, by digest
}

func (b *builder) add(j *job) error {
	source, err := b.source(j)
	if err != nil {
		return err
	}
	r, err := b.repo(j)
	if err != nil {
		return err
	}
	if j.Exists {
		r.door.open = true
	}
	b.sizes = map[string]int64{}
	n, err := b.node(j, r, source, j.Digest, 0)
	if err != nil {
		return err
	}
	n.jobs = append(n.jobs, j)
	j.node = n
	n.need()
	return nil
}

func (b *builder) source(j *job) (*registry.Repository, error) {
	name := j.Source.Name()
	if r := b.from[name]; r != nil {
		return r, nil
	}
	r, err := b.Client.Source(b.ctx, j.Source)
	if err == nil {
		b.from[name] = r
	}
	return r, err
}

func (b *builder) repo(j *job) (*repo, error) {
	name := j.Destination.Name()
	if r := b.repos[name]; r != nil {
		return r, nil
	}
	to, err := b.Client.Destination(b.ctx, j.Destination, true)
	if err != nil {
		return nil, err
	}
	l := b.lanes[to.Registry()]
	if l == nil {
		l = &lane{registry: to.Registry(), wake: sync.NewCond(&b.mu)}
		b.lanes[to.Registry()] = l
	}
	r := &repo{to: to, lane: l, places: map[content]*place{}, nodes: map[string]*node{}}
	b.repos[name] = r
	return r, nil
}

// node adds a manifest, and all that it leads to, to a repository.
func (b *builder) node(j *job, r *repo, source *registry.Repository, digest string, depth int) (*node, error) {
	if n := r.nodes[digest]; n != nil {
		return n, n.err
	}
	if depth > manifest.MaxDepth {
		return nil, fmt.Errorf("the image %s has more than %d indexes within indexes", j.Digest, manifest.MaxDepth)
	}
	m, parsed, err := b.manifest(digest)
	if err != nil {
		return nil, err
	}
	n := &node{repo: r, m: m}
	for _, d := range parsed.Children {
		child, err := b.node(j, r, source, d.Digest, depth+1)
		if err != nil {
			return nil, err
		}
		n.children = append(n.children, child)
		child.parents = append(child.parents, n)
		n.missing++
	}
	for _, d := range parsed.Blobs {
		if d.Foreign() && !b.Foreign {
			continue
		}
		p, err := b.place(j, r, source, d)
		if err != nil {
			return nil, err
		}
		p.waiting = append(p.waiting, n)
		n.missing++
	}
	r.nodes[digest] = n
	return n, nil
}

func (b *builder) manifest(named string) (registry.Manifest, manifest.Manifest, error) {
	m, ok := b.manifests[named]
	if !ok {
		return m, manifest.Manifest{}, fmt.Errorf("the plan lacks the manifest %s", named)
	}
	if p, ok := b.parsed[named]; ok {
		return m, p, nil
	}
	if got := digest.Of(m.Content); got != named {
		return m, manifest.Manifest{}, fmt.Errorf("the plan's manifest %s has the digest %s", named, got)
	}
	p, err := manifest.Parse(m.MediaType, m.Content)
	if err != nil {
		return m, p, fmt.Errorf("manifest %s: %w", named, err)
	}
	// What the registry called it may be too general for another registry to take.
	m.MediaType = p.MediaType
	b.manifests[named] = m
	b.parsed[named] = p
	return m, p, nil
}

func (b *builder) place(j *job, r *repo, source *registry.Repository, d manifest.Descriptor) (*place, error) {
	if size, ok := b.sizes[d.Digest]; ok && size != d.Size {
		return nil, fmt.Errorf("two manifests give the blob %s the sizes %d and %d", d.Digest, size, d.Size)
	}
	b.sizes[d.Digest] = d.Size
	key := content{d.Digest, d.Size}
	bl := b.blobs[key]
	if bl == nil {
		bl = &blob{digest: d.Digest, size: d.Size, byRegistry: map[string]*presence{}}
		b.blobs[key] = bl
		b.order = append(b.order, bl)
	}
	if !slices.Contains(bl.sources, source) {
		bl.sources = append(bl.sources, source)
	}
	if p := r.places[key]; p != nil {
		return p, nil
	}
	at := bl.byRegistry[r.lane.registry]
	if at == nil {
		at = &presence{blob: bl, lane: r.lane}
		bl.byRegistry[r.lane.registry] = at
		bl.presences = append(bl.presences, at)
	}
	if at.from == "" && len(j.MountFrom) > 0 {
		at.from = j.MountFrom[0]
	}
	if at.from == "" && source.Registry() == r.lane.registry {
		at.from = source.Path()
	}
	p := &place{repo: r, blob: bl, owner: j}
	at.places = append(at.places, p)
	r.places[key] = p
	return p, nil
}

// start announces what will be used, and makes ready what waits for nothing.
func (e *engine) start() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.announce()
	for _, bl := range e.order {
		e.lead(bl, bl.presences)
	}
	for _, r := range e.repos {
		for _, n := range r.nodes {
			if n.missing == 0 {
				e.ready(n)
			}
		}
	}
}

// announce tells the registries' clients which repositories will be used, and what is mounted from where.
func (e *engine) announce() {
	from := map[*repo][]string{}
	sources := map[*registry.Repository]bool{}
	for _, bl := range e.order {
		for _, s := range bl.sources {
			sources[s] = true
		}
		for _, at := range bl.presences {
			for i, p := range at.places {
				path := at.places[0].repo.to.Path()
				if i == 0 {
					path = at.from
				}
				if path != "" && !slices.Contains(from[p.repo], path) {
					from[p.repo] = append(from[p.repo], path)
				}
			}
		}
	}
	for s := range sources {
		s.Announce()
	}
	for _, r := range e.repos {
		r.to.Announce(from[r]...)
	}
}
