package shard

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// large is the smallest size of a shared blob that draws repositories together. Smaller ones
// are many, and cost about as much as the requests for them.
const large = 1 << 20

// maxRequests bounds the requests that count for a repository, so that four million such
// repositories do not overflow a weight.
const maxRequests = 1 << 22

// A catalog is the repositories as numbers: merged by name, heaviest first, with blobs
// numbered for each registry.
type catalog struct {
	items    []item
	size     []int64   // by blob
	key      []blobKey // by blob
	distinct int64     // weight of all items if no blob were sent twice
}

type item struct {
	name     string
	requests int64
	bytes    int64   // of blobs that are not numbered
	blobs    []int32 // each once
	shared   []int32 // large blobs that another item needs too
	weight   int64
}

// A blobKey identifies a blob on a registry. Blobs cannot be mounted from another registry,
// so there it counts as another blob.
type blobKey struct {
	registry string
	id       uint64
}

func newCatalog(repositories []Unit) *catalog {
	w := &catalog{}
	w.number(repositories)
	needed := make([]int32, len(w.size))
	for i := range w.items {
		it := &w.items[i]
		slices.Sort(it.blobs)
		it.blobs = slices.Compact(it.blobs)
		it.weight = AddSizes(it.requests*RequestBytes, it.bytes)
		w.distinct = AddSizes(w.distinct, it.weight)
		for _, b := range it.blobs {
			it.weight = AddSizes(it.weight, w.size[b])
			needed[b]++
		}
	}
	for _, size := range w.size {
		w.distinct = AddSizes(w.distinct, size)
	}
	for i := range w.items {
		it := &w.items[i]
		for _, b := range it.blobs {
			if needed[b] > 1 && w.size[b] >= large {
				it.shared = append(it.shared, b)
			}
		}
	}
	slices.SortFunc(w.items, func(a, b item) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.name, b.name))
	})
	return w
}

// number merges repositories of the same name and numbers the blobs. If manifests give a blob
// different sizes, the largest counts, in any order.
func (w *catalog) number(repositories []Unit) {
	known := make(map[string]int, len(repositories))
	blobs := make(map[blobKey]int32, len(repositories))
	for _, r := range repositories {
		i, ok := known[r.Name]
		if !ok {
			i = len(w.items)
			known[r.Name] = i
			w.items = append(w.items, item{name: r.Name})
		}
		it := &w.items[i]
		it.requests = min(it.requests+int64(min(max(r.Requests, 1), maxRequests)), maxRequests)
		it.bytes = AddSizes(it.bytes, max(0, r.Bytes))
		registry, _, _ := strings.Cut(r.Name, "/")
		for _, b := range r.Blobs {
			key := blobKey{registry, b.ID}
			n, ok := blobs[key]
			if !ok {
				n = int32(len(w.size))
				blobs[key] = n
				w.size = append(w.size, 0)
				w.key = append(w.key, key)
			}
			w.size[n] = max(w.size[n], b.Size)
			it.blobs = append(it.blobs, n)
		}
	}
}

// AddSizes adds sizes. They come from outside, so it stops at the largest number instead of
// wrapping.
func AddSizes(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
