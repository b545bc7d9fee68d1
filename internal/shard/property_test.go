package shard

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// generate makes repositories that share blobs in families, across families, or not at all.
func generate(rng *rand.Rand, count int) []Unit {
	families := 1 + rng.IntN(count)
	repositories := make([]Unit, count)
	for i := range repositories {
		r := &repositories[i]
		registry := []string{"quay.io", "docker.io", "localhost:5000"}[min(rng.IntN(8), 2)]
		r.Name = fmt.Sprintf("%s/org/r%d", registry, i)
		r.Requests = rng.IntN(40)
		if rng.IntN(3) == 0 {
			r.Bytes = rng.Int64N(100 * mib)
		}
		if family := rng.IntN(families + 1); family > 0 {
			r.Blobs = append(r.Blobs, blob(fmt.Sprint("base", family), int64(family)*17*mib))
		}
		for range rng.IntN(5) {
			r.Blobs = append(r.Blobs, blob(fmt.Sprint("common", rng.IntN(10)), 3*mib))
		}
		for j := range rng.IntN(4) {
			r.Blobs = append(r.Blobs, blob(fmt.Sprint("own", i, ".", j), rng.Int64N(100*mib)))
		}
	}
	return repositories
}

// check fails the test if the plan loses or doubles a repository, has the wrong number of
// shards or an empty one, counts wrong, or is heavier than it promises. A repository is what
// carries its tags, so that they are together if it is there once.
func check(t *testing.T, repositories []Unit, n int, p Packing) {
	t.Helper()
	w := newCatalog(repositories)
	items := map[string]item{}
	for _, it := range w.items {
		items[it.name] = it
	}
	names := map[string]bool{}
	for _, r := range repositories {
		names[r.Name] = true
	}
	if got, want := len(p.Shards), min(n, len(names)); got != want {
		t.Errorf("got %d shards, want %d", got, want)
	}
	seen := map[string]bool{}
	crossings := map[int32]int{}
	for _, s := range p.Shards {
		if len(s.Repositories) == 0 {
			t.Errorf("shard %s is empty", s.Name)
		}
		needs := map[int32]bool{}
		var bytes int64
		for _, name := range s.Repositories {
			if seen[name] || !names[name] {
				t.Errorf("%s is packed twice, or was not to be packed", name)
			}
			seen[name] = true
			bytes = AddSizes(bytes, items[name].bytes)
			for _, b := range items[name].blobs {
				needs[b] = true
			}
		}
		for b := range needs {
			crossings[b]++
			bytes = AddSizes(bytes, w.size[b])
		}
		if s.Bytes != bytes {
			t.Errorf("shard %s has %d bytes, want %d", s.Name, s.Bytes, bytes)
		}
	}
	if len(seen) != len(names) {
		t.Errorf("%d of %d repositories are packed", len(seen), len(names))
	}
	var duplicated int64
	for b, times := range crossings {
		for range times - 1 {
			duplicated = AddSizes(duplicated, w.size[b])
		}
	}
	if p.Duplicated != duplicated {
		t.Errorf("got %d bytes duplicated, want %d", p.Duplicated, duplicated)
	}
	checkBalance(t, w, p)
}

func checkBalance(t *testing.T, w *catalog, p Packing) {
	t.Helper()
	assigned, bound := w.longestFirst(len(p.Shards))
	plain := w.plan(assigned, len(p.Shards))
	got := p.heaviest()
	if got > bound {
		t.Errorf("the heaviest shard weighs %d, and longest first %d", got, bound)
	}
	if limit := AddSizes(plain.heaviest(), plain.heaviest()/slack); got > limit {
		t.Errorf("the heaviest shard weighs %d, more than %d, which is longest first and a little", got, limit)
	}
	if p.Duplicated > plain.Duplicated {
		t.Errorf("got %d bytes duplicated, and longest first has %d", p.Duplicated, plain.Duplicated)
	}
	var total int64
	for _, it := range w.items {
		total = AddSizes(total, it.weight)
	}
	if limit := AddSizes(total/int64(len(p.Shards)), w.items[0].weight); got > limit {
		t.Errorf("the heaviest shard weighs %d, more than the mean and the heaviest repository, %d", got, limit)
	}
}

func TestPackProperties(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 1))
		repositories := generate(rng, 1+rng.IntN(120))
		n := 1 + rng.IntN(40)
		p := Pack(repositories, n)
		check(t, repositories, n, p)

		shuffled := slices.Clone(repositories)
		rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		for i := range shuffled {
			b := slices.Clone(shuffled[i].Blobs)
			rng.Shuffle(len(b), func(i, j int) { b[i], b[j] = b[j], b[i] })
			shuffled[i].Blobs = b
		}
		if diff := cmp.Diff(p, Pack(shuffled, n)); diff != "" {
			t.Errorf("the plan depends on the order of the input: -want +got:\n%s", diff)
		}
		if t.Failed() {
			t.Fatalf("seed %d: %d repositories, %d shards", seed, len(repositories), n)
		}
	}
}

// TestPackGuarantee compares small plans with the optimum, found by trying everything.
func TestPackGuarantee(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 2))
		repositories := generate(rng, 1+rng.IntN(8))
		n := min(1+rng.IntN(3), len(repositories))
		best := optimum(newCatalog(repositories).items, make([]int64, n))
		got, m := Pack(repositories, n).heaviest(), int64(n)
		// got ≤ (4/3 - 1/(3m)) best, in whole numbers.
		if 3*m*got > (4*m-1)*best {
			t.Fatalf("seed %d: the heaviest of %d shards weighs %d, and the optimum %d", seed, n, got, best)
		}
	}
}

// optimum returns the lowest load of the heaviest shard when the items, whose blobs are their
// own, are added to load.
func optimum(items []item, load []int64) int64 {
	if len(items) == 0 {
		return slices.Max(load)
	}
	var best int64 = -1
	for s := range load {
		load[s] += items[0].weight
		if got := optimum(items[1:], load); best < 0 || got < best {
			best = got
		}
		load[s] -= items[0].weight
	}
	return best
}
