package shard

import (
	"cmp"
	"slices"
)

// related orders the items so that those with large blobs in common are next to each other. A
// shard that is filled in this order needs few blobs that other shards need too. Items whose
// common blob causes the most work come first.
//
// It sorts the blobs of each item in one global order, and then the items by their blobs, as
// words are sorted by their letters. Layers are shared in trees (a base, and what is built on
// it), and this keeps the branches of a tree together.
func (w *catalog) related() []int {
	rank := w.rank()
	first := func(a, b int32) int { return cmp.Compare(rank[a], rank[b]) }
	work := make([]int64, len(w.size)) // by blob: weight of the items that have it first
	for _, it := range w.items {
		slices.SortFunc(it.shared, first)
		if len(it.shared) > 0 {
			b := it.shared[0]
			work[b] = AddSizes(work[b], it.weight)
		}
	}
	lead := func(it item) int64 {
		if len(it.shared) == 0 {
			return it.weight
		}
		return work[it.shared[0]]
	}
	order := make([]int, len(w.items))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(x, y int) int {
		a, b := w.items[x], w.items[y]
		return cmp.Or(cmp.Compare(lead(b), lead(a)), slices.CompareFunc(a.shared, b.shared, first), cmp.Compare(x, y))
	})
	return order
}

// rank returns the rank of each shared blob. The costliest to duplicate has rank 0.
func (w *catalog) rank() []int32 {
	cost := w.duplication()
	var blobs []int32
	for b, c := range cost {
		if c > 0 {
			blobs = append(blobs, int32(b))
		}
	}
	slices.SortFunc(blobs, func(a, b int32) int {
		if c := cmp.Compare(cost[b], cost[a]); c != 0 {
			return c
		}
		// Numbers would depend on the order of the input.
		return cmp.Or(cmp.Compare(w.key[a].id, w.key[b].id), cmp.Compare(w.key[a].registry, w.key[b].registry))
	})
	rank := make([]int32, len(cost))
	for place, b := range blobs {
		rank[b] = int32(place)
	}
	return rank
}

// duplication returns, by blob, the bytes that would be sent more than once if no two items
// that need it shared a shard.
func (w *catalog) duplication() []int64 {
	cost := make([]int64, len(w.size))
	needed := make([]bool, len(w.size))
	for _, it := range w.items {
		for _, b := range it.shared {
			if needed[b] {
				cost[b] = AddSizes(cost[b], w.size[b])
			}
			needed[b] = true
		}
	}
	return cost
}
