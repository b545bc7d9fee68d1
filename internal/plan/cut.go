package plan

import (
	"maps"
	"slices"
	"strings"

	"imagemirror/internal/shard"
	"imagemirror/internal/stream"
)

// Parts is a plan that was cut. Each mapping is in exactly one part, and each part has the
// manifests that its copies need.
type Parts struct {
	Settled    *stream.Content   // mappings that need no copy
	Shards     []*stream.Content // heaviest first
	Duplicated int64             // bytes that several shards need, and that move more than once
}

// Cut divides the plan into the settled part and at most n shards. Together the shards keep
// to the plan's cap on each registry.
func (p *Plan) Cut(n int) Parts {
	byRepository := map[string][]int{} // indexes of copies
	for i, r := range p.routes {
		byRepository[r.repository] = append(byRepository[r.repository], i)
	}
	packed := shard.PackWithin(p.repositories(byRepository), n, p.Header.Cap)
	cut := Parts{Settled: p.settledPart(), Duplicated: packed.Duplicated}
	for _, s := range packed.Shards {
		var copies []stream.Copy
		for _, name := range s.Repositories {
			for _, i := range byRepository[name] {
				copies = append(copies, p.Copies[i])
			}
		}
		cut.Shards = append(cut.Shards, p.shardPart(s, copies))
	}
	return cut
}

// Names returns the names of the shards.
func (p Parts) Names() []string {
	names := []string{}
	for _, s := range p.Shards {
		names = append(names, s.Header.Shard)
	}
	return names
}

// All returns the settled part and then the shards.
func (p Parts) All() []*stream.Content {
	return append([]*stream.Content{p.Settled}, p.Shards...)
}

func (p *Plan) settledPart() *stream.Content {
	var ids []int
	for _, r := range p.Results {
		ids = append(ids, r.ID)
	}
	c := p.part(ids)
	c.Header.Warnings, c.Traffic, c.Selected = p.Header.Warnings, p.Traffic, p.Selected
	c.Results = p.Results
	return c
}

func (p *Plan) shardPart(s shard.Shard, copies []stream.Copy) *stream.Content {
	var ids []int
	for _, c := range copies {
		ids = append(ids, c.ID)
	}
	c := p.part(ids)
	c.Name = s.Name
	c.Header.Shard, c.Header.Cap = s.Name, s.Cap
	c.Copies, c.Manifests, c.Archive = copies, p.manifests(copies), p.archive
	return c
}

// part returns a plan of the mappings with the given IDs, without results and copies.
func (p *Plan) part(ids []int) *stream.Content {
	c := &stream.Content{Header: p.Header}
	c.Header.Mappings, c.Header.Warnings, c.Header.Cap = len(ids), nil, stream.Cap{}
	named := map[string]bool{}
	for _, id := range ids {
		m := p.Mappings[id-1]
		named[m.Set] = true
		c.Mappings = append(c.Mappings, m)
	}
	for _, s := range p.Sets {
		if named[s.Name] {
			c.Sets = append(c.Sets, s)
		}
	}
	return c
}

// repositories returns the destination repositories to pack, with their blobs.
func (p *Plan) repositories(byRepository map[string][]int) []shard.Unit {
	byRegistry := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(byRepository)) {
		registry, _, _ := strings.Cut(name, "/")
		byRegistry[registry] = append(byRegistry[registry], name)
	}
	var list []shard.Unit
	users := make([]int32, p.archive.Len())
	for _, names := range byRegistry {
		clear(users)
		for n, name := range names {
			p.use(users, int32(n)+1, byRepository[name])
		}
		for n, name := range names {
			list = append(list, p.repository(name, byRepository[name], users, int32(n)+1))
		}
	}
	return list
}

// users holds, by Ref, the number of the only repository that needs a blob, or one of these.
const (
	shared  = -1 // several repositories need the blob
	counted = -2 // one repository needs it, and its bytes are counted
)

// use records in users which blobs the repository with a number needs.
func (p *Plan) use(users []int32, number int32, copies []int) {
	for _, i := range copies {
		for _, m := range p.Copies[i].Tree(p.archive) {
			for _, b := range p.archive.Blobs(m) {
				switch users[b.Ref] {
				case 0:
					users[b.Ref] = number
				case number:
				default:
					users[b.Ref] = shared
				}
			}
		}
	}
}

// repository returns what to pack for a repository. It lists only the blobs that other
// repositories need too: a plan may have a million blobs, nearly all of them needed by one
// repository.
func (p *Plan) repository(name string, copies []int, users []int32, number int32) shard.Unit {
	r := shard.Unit{Name: name}
	for _, i := range copies {
		r.Requests++
		r.Registries = append(r.Registries, p.routes[i].registries...)
		for _, m := range p.Copies[i].Tree(p.archive) {
			blobs := p.archive.Blobs(m)
			r.Requests += 1 + 2*len(blobs)
			for _, b := range blobs {
				switch users[b.Ref] {
				case number:
					users[b.Ref] = counted
					r.Bytes = shard.AddSizes(r.Bytes, b.Size)
				case shared:
					r.Blobs = append(r.Blobs, shard.Blob{ID: p.archive.Prefix(b.Ref), Size: b.Size})
				}
			}
		}
	}
	return r
}
