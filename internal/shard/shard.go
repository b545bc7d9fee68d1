// Package shard packs the destination repositories of a run into shards, each of which one copy carries out alone.
//
// All tags of a repository are in one shard: one push token, and no two writers. Repositories are packed heaviest
// first. A blob crosses once for each shard that needs it, so where the balance allows it, repositories that need the
// same large blobs on the same registry go together.
package shard

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"imagemirror/internal/stream"
)

// Max is the most shards of a plan: a Tekton matrix has at most 256 combinations unless the cluster's operator
// raises that. https://tekton.dev/docs/pipelines/matrix/
const Max = 256

// RequestBytes is what a request weighs in bytes, so that repositories of tiny images spread too. A round trip of 80 ms
// with 16 of them in flight takes 5 ms, in which a link of 50 MB/s moves as much.
const RequestBytes = 256 << 10

// A Blob is content that has to cross to the destination registry.
type Blob struct {
	ID   uint64 // the same for the same content, such as the first bytes of its digest
	Size int64  // bytes
}

// A Unit is a destination repository with all that has to move into it.
type Unit struct {
	Name       string   // HOST/PATH; repositories of one name are packed as one
	Requests   int      // roughly how many requests it takes; at least one is counted
	Bytes      int64    // of what its registry lacks and no other repository needs
	Blobs      []Blob   // the rest of what its registry lacks; one that is there twice counts once
	Registries []string // that are asked for its sake: its own, and those of its sources
}

// A Packing says which repository is in which shard.
type Packing struct {
	Shards     []Shard // heaviest first; none is empty
	Duplicated int64   // bytes that cross more than once to the same registry, since several shards need them
}

// A Shard is the work of one copy.
type Shard struct {
	Name         string   // s0, s1, ...; padded with zeros so that names sort
	Repositories []string // names, sorted
	Bytes        int64    // of distinct blobs for each registry
	Requests     int64
	Cap          stream.Cap // what it may ask of one registry; set by PackWithin
}

// Weight is what the shard costs, in bytes.
func (s Shard) Weight() int64 { return AddSizes(s.Bytes, s.Requests*RequestBytes) }

// Pack packs the repositories into n shards, or fewer where there are fewer repositories; n is taken as at least 1 and at
// most Max. The plan does not depend on the order of the repositories.
//
// The heaviest shard is never heavier than the heaviest of longest processing time first, which is at most
// 4/3 - 1/(3n) of the optimum when each repository's blobs are its own, and never heavier by more than 1/slack than that
// packing is once the blobs that a shard shares are counted once.
func Pack(repositories []Unit, n int) Packing {
	w := measure(repositories)
	n = min(max(n, 1), Max, len(w.items))
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

// plan turns an assignment of items to n shards, none of them empty, into a Plan.
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

// name sorts the shards, so that the heaviest are started first, and names them in that order.
func name(shards []Shard) {
	slices.SortFunc(shards, func(a, b Shard) int {
		return cmp.Or(cmp.Compare(b.Weight(), a.Weight()), cmp.Compare(a.Repositories[0], b.Repositories[0]))
	})
	width := len(strconv.Itoa(len(shards) - 1))
	for i := range shards {
		shards[i].Name = fmt.Sprintf("s%0*d", width, i)
	}
}
