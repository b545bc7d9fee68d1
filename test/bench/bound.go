package main

import (
	"strings"

	"imagemirror/internal/registrytest"
)

// A leastCost is the least that a phase of a workload can cost, without authentication.
type leastCost struct {
	source, destination map[string]int // requests by registrytest.Request.Kind
	busiest             int            // requests to the registry that is asked most
	down, up            int64          // bytes of blobs
}

func (w benchWorkload) bound(c *registrytest.WorkloadImages, phase string) leastCost {
	one := c.Unchanged()
	if phase == "cold" {
		one = c.Cold()
	}
	travels := phase == "cold" || w.signed > 0
	if travels || w.choose {
		repositories := map[string]bool{}
		for _, tag := range c.Tags {
			repositories[tag[:strings.LastIndex(tag, ":")]] = true
		}
		one.Source["GET tags"] = len(repositories)
	}
	if travels {
		// To find what travels with images: the lists of tags, and whether the registry has the
		// referrers API.
		one.Source["GET referrers"] = 1
	}
	if w.signed > 0 {
		w.addReferrers(one.Source, one.Destination, len(c.Tags))
	}
	b := leastCost{source: one.Source, destination: map[string]int{}, busiest: total(one.Source), down: one.Bytes}
	for _, copies := range w.copies {
		requests := times(one.Destination, copies)
		for kind, n := range requests {
			b.destination[kind] += n
		}
		b.busiest = max(b.busiest, total(requests))
		b.up += one.Bytes
	}
	return b
}

// addReferrers adds what it costs to find that nothing is new for images with referrers: each list
// of referrers is read at both sides.
func (w benchWorkload) addReferrers(source, destination map[string]int, images int) {
	signed := (images + w.signed - 1) / w.signed
	if w.api {
		source["GET referrers"] = images + signed // for each image, and for each referrer
		destination["GET referrers"] = signed
		return
	}
	source["GET manifest"] += signed
	destination["GET manifest"] += signed
	destination["GET referrers"] = 1
}

// times returns the requests that bring images to several repositories on one registry, if one
// repository costs the given requests. Each blob is uploaded once, and mounted in the others.
func times(one map[string]int, copies int) map[string]int {
	all := map[string]int{}
	for kind, n := range one {
		all[kind] = n * copies
	}
	if uploads := one["POST upload"]; uploads > 0 {
		all["POST upload"], all["PUT upload"] = uploads, uploads
		all["POST mount"] += uploads * (copies - 1)
	}
	return all
}

func total(requests map[string]int) int {
	sum := 0
	for _, n := range requests {
		sum += n
	}
	return sum
}
