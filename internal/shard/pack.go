package shard

import (
	"math/bits"

	"imagemirror/internal/bounds"
)

const (
	slack  = 50 // sharing blobs may make the heaviest shard heavier by 1/slack
	rounds = 6  // steps of the binary search for the lowest limit
)

// longestFirst assigns each item, heaviest first, to the least loaded of n shards, as if no
// blob were shared. It returns the shard of each item and the load of the heaviest shard.
func (w *catalog) longestFirst(n int) (assigned []int, heaviest int64) {
	assigned = make([]int, len(w.items))
	load := make([]int64, n)
	for i, it := range w.items {
		s := least(load)
		assigned[i] = s
		load[s] = AddSizes(load[s], it.weight)
		heaviest = max(heaviest, load[s])
	}
	return assigned, heaviest
}

// together assigns items to n shards so that items with large blobs in common share a shard.
// It searches for the lowest limit on the load of a shard, between the load that no packing
// can beat and high. It returns nil if no limit that it tries allows a packing.
func (w *catalog) together(n int, high int64) []int {
	g := gathering{
		w: w, order: w.related(),
		load: make([]int64, n), saved: make([]int64, n), held: make([]shardSet, len(w.size)),
	}
	low := max(w.distinct/int64(n), w.items[0].weight)
	var best []int
	for range rounds {
		limit := low + (high-low)/2
		if assigned := g.assign(AddSizes(limit, limit/slack)); assigned != nil {
			best, high = assigned, limit
		} else {
			low = limit
		}
	}
	return best
}

// A shardSet is a set of shards.
type shardSet [bounds.Shards / 64]uint64

// A gathering is the state of one packing under a limit.
type gathering struct {
	w     *catalog
	order []int      // of the items
	load  []int64    // by shard
	saved []int64    // by shard: bytes of the current item that the shard already has
	held  []shardSet // by blob: the shards that have it
}

// assign assigns the items in their order. It returns nil if the load of a shard would exceed
// limit.
func (g *gathering) assign(limit int64) []int {
	clear(g.load)
	clear(g.held)
	assigned := make([]int, len(g.order))
	empty := len(g.load)
	for done, i := range g.order {
		it := g.w.items[i]
		s := least(g.load)
		// The last items go into shards that would otherwise stay empty.
		if len(g.order)-done > empty {
			s = g.choose(it, s, limit)
		} else {
			clear(g.saved)
		}
		if g.load[s] == 0 {
			empty--
		}
		g.load[s] = AddSizes(g.load[s], it.weight-g.saved[s])
		if g.load[s] > limit {
			return nil
		}
		for _, b := range it.shared {
			g.held[b][s/64] |= 1 << (s % 64)
		}
		assigned[i] = s
	}
	return assigned
}

// choose returns the shard that has the most bytes of the item, among those that it fits
// into. If none has any, it returns otherwise.
func (g *gathering) choose(it item, otherwise int, limit int64) int {
	clear(g.saved)
	for _, b := range it.shared {
		for word, members := range g.held[b] {
			for ; members != 0; members &= members - 1 {
				s := word*64 + bits.TrailingZeros64(members)
				g.saved[s] = AddSizes(g.saved[s], g.w.size[b])
			}
		}
	}
	best, most := otherwise, int64(0)
	for s, saved := range g.saved {
		if saved == 0 || AddSizes(g.load[s], it.weight-saved) > limit {
			continue
		}
		if saved > most || saved == most && g.load[s] < g.load[best] {
			best, most = s, saved
		}
	}
	return best
}

// least returns the first of the least loaded shards. Every item has a weight, so a shard
// without load is empty.
func least(load []int64) int {
	best := 0
	for s, l := range load {
		if l < load[best] {
			best = s
		}
	}
	return best
}
