package plan

import (
	"fmt"
	"io"
	"sync"

	"imagemirror/internal/manifest"
	"imagemirror/internal/shard"
	"imagemirror/internal/stream"
)

// Parts is where a plan goes that is cut into shards.
type Parts interface {
	Begin() error
	// Put takes one part, a stream: what is settled, which has no name, or a shard.
	Put(shard string, content func(io.Writer) error) error
	// End is called last. Where err is not nil, the plan is not whole, and End returns err.
	End(err error) error
}

// ToParts cuts the plan into at most that many shards, and one part more with what needs no copy.
func ToParts(to Parts, shards int) (Writer, error) {
	if shards < 1 || shards > shard.Max {
		return nil, fmt.Errorf("-shards is %d: give a number from 1 to %d", shards, shard.Max)
	}
	return toParts{to, shards}, nil
}

type toParts struct {
	to     Parts
	shards int
}

func (p toParts) begin(h stream.Header, sets []stream.Set, targets []*target) writing {
	return &parts{toParts: p, header: h, sets: sets, targets: targets, manifests: map[string]stream.Manifest{}}
}

// parts is a plan that is being made. It is written at its end, when it is known what goes into which shard.
type parts struct {
	toParts
	header  stream.Header
	sets    []stream.Set
	targets []*target

	mu        sync.Mutex
	manifests map[string]stream.Manifest
	results   []stream.Result
}

func (p *parts) manifest(m stream.Manifest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.manifests[m.Digest] = m
}

func (p *parts) settled(r stream.Result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.results = append(p.results, r)
}

func (p *parts) end(copies []stream.Copy, totals *Totals, t *trees) error {
	packed := shard.PackWithin(p.repositories(copies, t), p.shards, p.header.Cap)
	totals.Duplicated = packed.Duplicated
	for _, s := range packed.Shards {
		totals.Shards = append(totals.Shards, s.Name)
	}
	err := p.to.Begin()
	if err == nil {
		err = p.put(packed.Shards, copies, t)
	}
	return p.to.End(err)
}

func (p *parts) put(shards []shard.Shard, copies []stream.Copy, t *trees) error {
	if err := p.putSettled(); err != nil {
		return err
	}
	byRepository := p.byRepository(copies)
	for _, s := range shards {
		var mine []stream.Copy
		for _, name := range s.Repositories {
			mine = append(mine, byRepository[name]...)
		}
		if err := p.putShard(s, mine, t); err != nil {
			return err
		}
	}
	return nil
}

// byRepository are the copies into each destination repository.
func (p *parts) byRepository(copies []stream.Copy) map[string][]stream.Copy {
	by := map[string][]stream.Copy{}
	for _, c := range copies {
		name := p.targets[c.ID-1].destination.Name()
		by[name] = append(by[name], c)
	}
	return by
}

// repositories are what the planner has to pack.
func (p *parts) repositories(copies []stream.Copy, t *trees) []shard.Repository {
	var list []shard.Repository
	for name, copies := range p.byRepository(copies) {
		r := shard.Repository{Name: name}
		for _, c := range copies {
			r.Requests++
			t.walk(c.Digest, func(_ string, m manifest.Manifest) {
				r.Requests += 1 + 2*len(m.Blobs)
				for _, b := range m.Blobs {
					r.Blobs = append(r.Blobs, shard.Blob{Digest: b.Digest, Size: b.Size})
				}
			})
			target := p.targets[c.ID-1]
			r.Registries = append(r.Registries, target.from.Registries()...)
			r.Registries = append(r.Registries, target.to.Registries()...)
		}
		list = append(list, r)
	}
	return list
}

func (p *parts) putSettled() error {
	var ids []int
	for _, r := range p.results {
		ids = append(ids, r.ID)
	}
	return p.putStream(shard.Shard{}, ids, func(w *stream.Writer) {
		for _, r := range p.results {
			w.Result(r)
		}
	})
}

func (p *parts) putShard(s shard.Shard, copies []stream.Copy, t *trees) error {
	var ids []int
	for _, c := range copies {
		ids = append(ids, c.ID)
	}
	return p.putStream(s, ids, func(w *stream.Writer) {
		written := map[string]bool{}
		for _, c := range copies {
			t.walk(c.Digest, func(digest string, _ manifest.Manifest) {
				if !written[digest] {
					written[digest] = true
					w.Manifest(p.manifests[digest])
				}
			})
			w.Copy(c)
		}
	})
}

// putStream writes a stream about some of the mappings.
func (p *parts) putStream(s shard.Shard, ids []int, rest func(*stream.Writer)) error {
	h := p.header
	h.Shard, h.Mappings, h.Cap = s.Name, len(ids), s.Cap
	if s.Name != "" {
		h.Warnings = nil
	}
	return p.to.Put(s.Name, func(out io.Writer) error {
		w := stream.NewWriter(out, h)
		named := map[string]bool{}
		for _, id := range ids {
			named[p.targets[id-1].Set] = true
		}
		for _, s := range p.sets {
			if named[s.Name] {
				w.Set(s)
			}
		}
		for _, id := range ids {
			w.Mapping(p.targets[id-1].Mapping)
		}
		rest(w)
		return w.End()
	})
}
