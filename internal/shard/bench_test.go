package shard

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkPack packs mappings of five tags a repository, each repository with ten blobs: one
// that all share, a base of some forty, two layers of a few, and six of its own.
func BenchmarkPack(b *testing.B) {
	for _, size := range []struct{ mappings, shards int }{{5_000, 64}, {100_000, 256}} {
		repositories := repositoriesOf(size.mappings / 5)
		b.Run(fmt.Sprintf("mappings=%d/shards=%d", size.mappings, size.shards), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Pack(repositories, size.shards)
			}
		})
	}
}

func repositoriesOf(count int) []Unit {
	rng := rand.New(rand.NewPCG(1, 1))
	repositories := make([]Unit, count)
	for i := range repositories {
		blobs := []Blob{
			blob("everywhere", 80*mib),
			blob(fmt.Sprint("base", rng.IntN(count/40)), 200*mib),
			blob(fmt.Sprint("layer", rng.IntN(count/4)), 30*mib),
			blob(fmt.Sprint("layer", rng.IntN(count/4)), 30*mib),
		}
		for range 6 {
			blobs = append(blobs, Blob{rng.Uint64(), rng.Int64N(20 * mib)})
		}
		repositories[i] = Unit{Name: fmt.Sprint("quay.io/org/r", i), Requests: 50, Blobs: blobs}
	}
	return repositories
}
