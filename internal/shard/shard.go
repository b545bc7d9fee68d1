// Package shard packs the destination repositories of a run into shards. One copy carries out
// one shard.
//
// All tags of a repository are in one shard, so that it has one push token and one writer.
// Repositories are packed heaviest first. Each shard that needs a blob sends it once, so
// repositories that need the same large blobs on the same registry share a shard if the
// balance allows it.
package shard

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"imagemirror/internal/bounds"
	"imagemirror/internal/stream"
)

// RequestBytes is the weight of a request in bytes, so that repositories of tiny images are
// spread too. With 16 requests in flight and a round trip of 80 ms, a request takes 5 ms, in
// which a link of 50 MB/s moves this many bytes.
const RequestBytes = 256 << 10

// A Blob is content that the destination registry lacks.
type Blob struct {
	ID   uint64 // equal for equal content, such as the first bytes of the digest
	Size int64  // bytes
}

// A Unit is a destination repository and everything that has to move into it.
type Unit struct {
	Name       string   // HOST/PATH; units with the same name are packed as one
	Requests   int      // estimated number of requests; at least 1 is counted
	Bytes      int64    // of blobs that its registry lacks and no other repository needs
	Blobs      []Blob   // other blobs that its registry lacks; repeated ones count once
	Registries []string // its own and those of its sources
}

// A Packing assigns each repository to a shard.
type Packing struct {
	Shards     []Shard // heaviest first; none is empty
	Duplicated int64   // bytes that are sent to the same registry more than once, by several shards
}

// A Shard is the work of one copy.
type Shard struct {
	Name         string   // s0, s1, ...; padded with zeros so that names sort
	Repositories []string // names, sorted
	Bytes        int64    // of distinct blobs for each registry
	Requests     int64
	Cap          stream.Cap // bound on its requests to each registry; set by PackWithin
}

// Weight returns the cost of the shard in bytes.
func (s Shard) Weight() int64 { return AddSizes(s.Bytes, s.Requests*RequestBytes) }

// Pack packs the repositories into n shards, or fewer if there are fewer repositories. It
// clamps n to the range from 1 to bounds.Shards. The result does not depend on the order of the
// repositories.
//
// The heaviest shard is never heavier than that of "longest processing time first", which is
// at most 4/3 - 1/(3n) of the optimum if no blobs are shared. If blobs that a shard shares
// are counted once, it is heavier than that packing by at most 1/slack.
func Pack(repositories []Unit, n int) Packing {
	w := newCatalog(repositories)
	n = min(max(n, 1), bounds.Shards, len(w.items))
	if n == 0 {
		return Packing{}
	}
	assigned, bound := w.longestFirst(n)
	plain := w.plan(assigned, n)
	heaviest := plain.heaviest()
	if plain.Duplicated == 0 {
		return plain
	}
	gathered := w.together(n, heaviest)
	if gathered == nil {
		return plain
	}
	together := w.plan(gathered, n)
	if together.Duplicated < plain.Duplicated && together.heaviest() <= min(bound, AddSizes(heaviest, heaviest/slack)) {
		return together
	}
	return plain
}

func (p Packing) heaviest() int64 { return p.Shards[0].Weight() }

// plan makes a Packing of an assignment of items to n shards, none of which is empty.
func (w *catalog) plan(assigned []int, n int) Packing {
	p := Packing{Shards: make([]Shard, n)}
	members := make([][]int, n)
	for i, s := range assigned {
		members[s] = append(members[s], i)
	}
	seen := make([]int, len(w.size)) // by blob: 1 + the last shard that needs it
	for s := range p.Shards {
		sh := &p.Shards[s]
		for _, i := range members[s] {
			it := w.items[i]
			sh.Repositories = append(sh.Repositories, it.name)
			sh.Requests += it.requests
			sh.Bytes = AddSizes(sh.Bytes, it.bytes)
			for _, b := range it.blobs {
				switch seen[b] {
				case s + 1:
					continue
				case 0:
				default:
					p.Duplicated = AddSizes(p.Duplicated, w.size[b])
				}
				seen[b] = s + 1
				sh.Bytes = AddSizes(sh.Bytes, w.size[b])
			}
		}
		slices.Sort(sh.Repositories)
	}
	name(p.Shards)
	return p
}

// name sorts the shards, heaviest first because they are started in this order, and names them.
func name(shards []Shard) {
	slices.SortFunc(shards, func(a, b Shard) int {
		return cmp.Or(cmp.Compare(b.Weight(), a.Weight()), cmp.Compare(a.Repositories[0], b.Repositories[0]))
	})
	width := len(strconv.Itoa(len(shards) - 1))
	for i := range shards {
		shards[i].Name = fmt.Sprintf("s%0*d", width, i)
	}
}
