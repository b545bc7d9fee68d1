package shard

import "imagemirror/internal/stream"

// Least is how many requests in flight to a registry a shard is left at least: with fewer, its pod waits more than it works.
const Least = 4

// PackWithin is Pack into at most n shards, and into no more of those that touch one registry than leaves each of them Least
// requests in flight. Each shard has its Cap then: the sum of those that touch a registry is never above c.
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

// touched are the registries of each shard. known are those of each repository.
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

// excess is by how many shards a registry is touched too often, where none is left with no more than one.
func excess(c stream.Cap, touched []map[string]bool) int {
	if c.InFlight == 0 {
		return 0
	}
	most := 0
	for _, n := range touchCounts(touched) {
		most = max(most, n)
	}
	return most - max(1, c.InFlight/Least)
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

// divide gives each shard the least of its parts of the registries that it touches. What does not divide evenly goes to
// the first shards, which are the heaviest.
func divide(c stream.Cap, shards []Shard, touched []map[string]bool) {
	total, given := touchCounts(touched), map[string]int{}
	for i, registries := range touched {
		mine := c
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
