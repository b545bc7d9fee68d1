package shard

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/bounds"
	"imagemirror/internal/stream"
)

// from returns repositories on q.io, each with the source registry of its place.
func from(sources ...string) []Unit {
	var list []Unit
	for i, s := range sources {
		r := repository(fmt.Sprintf("q.io/r%d", i), blob(fmt.Sprint(i), int64(10-i)*mib))
		r.Registries = []string{"q.io", s}
		list = append(list, r)
	}
	return list
}

func TestPackWithin(t *testing.T) {
	elsewhere := from("ci", "ci", "ci")
	for i := range elsewhere {
		elsewhere[i].Name = fmt.Sprintf("r%d.io/x", i)
		elsewhere[i].Registries = []string{fmt.Sprintf("r%d.io", i), fmt.Sprintf("ci%d", i)}
	}
	for _, tc := range []struct {
		name         string
		repositories []Unit
		n            int
		cap          stream.Cap
		want         []stream.Cap
	}{
		{"no cap", from("ci", "ci", "ci"), 2, stream.Cap{}, []stream.Cap{{}, {}}},
		{"nothing to do", nil, 2, stream.Cap{InFlight: 16}, nil},
		{"as many as asked for", from("ci", "ci", "ci"), 2, stream.Cap{InFlight: 16}, []stream.Cap{{InFlight: 8}, {InFlight: 8}}},
		{"the heaviest gets what is left over", from("ci", "ci", "ci"), 3, stream.Cap{InFlight: 16}, []stream.Cap{{InFlight: 6}, {InFlight: 5}, {InFlight: 5}}},
		{"no more than have four", from("ci", "ci", "ci", "ci"), 4, stream.Cap{InFlight: 11}, []stream.Cap{{InFlight: 6}, {InFlight: 5}}},
		{"less than four for all", from("ci", "ci"), 2, stream.Cap{InFlight: 3}, []stream.Cap{{InFlight: 3}}},
		{"other registries", elsewhere, 3, stream.Cap{InFlight: 4}, []stream.Cap{{InFlight: 4}, {InFlight: 4}, {InFlight: 4}}},
		{"a rate", from("ci", "ci"), 2, stream.Cap{Rate: 5}, []stream.Cap{{Rate: 2.5}, {Rate: 2.5}}},
		{"both", from("ci", "ci", "ci"), 3, stream.Cap{InFlight: 8, Rate: 5}, []stream.Cap{{InFlight: 4, Rate: 2.5}, {InFlight: 4, Rate: 2.5}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []stream.Cap
			for _, s := range PackWithin(tc.repositories, tc.n, tc.cap).Shards {
				got = append(got, s.Cap)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("the caps are (-want +got):\n%s", diff)
			}
		})
	}
}

// All that a run asks of a registry is within the cap, and no shard is left with less than it
// needs to be worth while.
func TestPackWithinProperties(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 3))
		repositories := generate(rng, 1+rng.IntN(80))
		registries := map[string][]string{}
		for i := range repositories {
			r := &repositories[i]
			r.Registries = []string{fmt.Sprint("source", rng.IntN(3)), fmt.Sprint("destination", rng.IntN(2))}
			registries[r.Name] = append(registries[r.Name], r.Registries...)
		}
		n, c := 1+rng.IntN(40), stream.Cap{InFlight: 1 + rng.IntN(100), Rate: float64(rng.IntN(50))}
		p := PackWithin(repositories, n, c)
		check(t, repositories, len(p.Shards), p)
		if len(p.Shards) > n {
			t.Errorf("%d shards, and at most %d were asked for", len(p.Shards), n)
		}
		inFlight, rate := map[string]int{}, map[string]float64{}
		for _, s := range p.Shards {
			if s.Cap.InFlight < min(bounds.Share, c.InFlight) {
				t.Errorf("%s may have %d requests in flight", s.Name, s.Cap.InFlight)
			}
			touched := map[string]bool{}
			for _, name := range s.Repositories {
				for _, r := range registries[name] {
					touched[r] = true
				}
			}
			for r := range touched {
				inFlight[r] += s.Cap.InFlight
				rate[r] += s.Cap.Rate
			}
		}
		for r := range inFlight {
			if inFlight[r] > c.InFlight || rate[r] > c.Rate*1.000001 {
				t.Errorf("%s is asked %d at once and %g a second, above %+v", r, inFlight[r], rate[r], c)
			}
		}
		slices.Reverse(repositories)
		if diff := cmp.Diff(p, PackWithin(repositories, n, c)); diff != "" {
			t.Errorf("the plan depends on the order of the input: -want +got:\n%s", diff)
		}
		if t.Failed() {
			t.Fatalf("seed %d: %d repositories, %d shards, %+v", seed, len(repositories), n, c)
		}
	}
}
