package shard

import (
	"imagemirror/internal/bounds"
	"imagemirror/internal/stream"
)

// PackWithin packs the repositories into at most n shards and sets the Cap of each. The Caps
// of the shards that use a registry never add up to more than c. To leave each of these
// shards at least bounds.Share requests in flight, it makes fewer shards.
func PackWithin(repositories []Unit, n int, c stream.Cap) Packing {
	known := make(map[string][]string, len(repositories))
	for _, r := range repositories {
		known[r.Name] = append(known[r.Name], r.Registries...)
	}
	p := Pack(repositories, n)
	touched := p.touched(known)
	for over := excess(c, touched); over > 0; over = excess(c, touched) {
		p = Pack(repositories, len(p.Shards)-over)
		touched = p.touched(known)
	}
	divide(c, p.Shards, touched)
	return p
}

// touched returns the registries that each shard uses. known has those of each repository.
func (p Packing) touched(known map[string][]string) []map[string]bool {
	touched := make([]map[string]bool, len(p.Shards))
	for i, s := range p.Shards {
		touched[i] = map[string]bool{}
		for _, name := range s.Repositories {
			for _, registry := range known[name] {
				touched[i][registry] = true
			}
		}
	}
	return touched
}

// excess returns by how many the shards that use one registry exceed the number that the cap
// allows. One shard is always allowed.
func excess(c stream.Cap, touched []map[string]bool) int {
	if c.InFlight == 0 {
		return 0
	}
	most := 0
	for _, n := range touchCounts(touched) {
		most = max(most, n)
	}
	return most - max(1, c.InFlight/bounds.Share)
}

func touchCounts(touched []map[string]bool) map[string]int {
	n := map[string]int{}
	for _, registries := range touched {
		for r := range registries {
			n[r]++
		}
	}
	return n
}

// share returns the ith of n parts of a whole, where 0 means that there is no bound. No part of a
// bound is 0.
func share(whole int64, n, i int) int64 {
	if whole == 0 {
		return 0
	}
	part := whole / int64(n)
	if int64(i) < whole%int64(n) {
		part++
	}
	return max(1, part)
}

// divide sets the Cap of each shard to the smallest of its shares of the registries that it
// uses. The remainder of a division goes to the first shards, which are the heaviest.
func divide(c stream.Cap, shards []Shard, touched []map[string]bool) {
	total, given := touchCounts(touched), map[string]int{}
	for i, registries := range touched {
		mine := c
		mine.Bandwidth = share(c.Bandwidth, len(shards), i)
		for r := range registries {
			part := c.InFlight / total[r]
			if given[r] < c.InFlight%total[r] {
				part++
			}
			given[r]++
			mine.InFlight = min(mine.InFlight, part)
			mine.Rate = min(mine.Rate, c.Rate/float64(total[r]))
		}
		shards[i].Cap = mine
	}
}
