package shard

import (
	"fmt"
	"hash/fnv"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	mib = int64(1) << 20
	gib = int64(1) << 30
)

// blob returns a Blob whose ID is made from a name.
func blob(name string, size int64) Blob {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return Blob{h.Sum64(), size}
}

func repository(name string, blobs ...Blob) Unit {
	return Unit{Name: name, Requests: 4, Blobs: blobs} // 4 requests weigh 1 MiB
}

func TestPack(t *testing.T) {
	base := blob("sha256:base", gib)
	for _, tc := range []struct {
		name         string
		repositories []Unit
		n            int
		want         Packing
	}{{
		name: "nothing to do has no shards",
		n:    8,
	}, {
		name:         "fewer repositories than shards",
		repositories: []Unit{repository("q.io/b", blob("b", mib)), repository("q.io/a", blob("a", 2*mib))},
		n:            8,
		want: Packing{Shards: []Shard{
			{Name: "s0", Repositories: []string{"q.io/a"}, Bytes: 2 * mib, Requests: 4},
			{Name: "s1", Repositories: []string{"q.io/b"}, Bytes: mib, Requests: 4},
		}},
	}, {
		name:         "no shard is none, and none is one",
		repositories: []Unit{repository("q.io/b"), repository("q.io/a")},
		n:            0,
		want:         Packing{Shards: []Shard{{Name: "s0", Repositories: []string{"q.io/a", "q.io/b"}, Requests: 8}}},
	}, {
		name: "longest first: 5+5 | 4+3+3",
		repositories: []Unit{
			repository("q.io/3", blob("3", 2*mib)), repository("q.io/3b", blob("3b", 2*mib)), repository("q.io/4", blob("4", 3*mib)),
			repository("q.io/5", blob("5", 4*mib)), repository("q.io/5b", blob("5b", 4*mib)),
		},
		n: 2,
		// 5, 5, then 4 on the first of them, 3 on the other (8), 3 on that again (11): one
		// more than the optimum.
		want: Packing{Shards: []Shard{
			{Name: "s0", Repositories: []string{"q.io/3", "q.io/3b", "q.io/5b"}, Bytes: 8 * mib, Requests: 12},
			{Name: "s1", Repositories: []string{"q.io/4", "q.io/5"}, Bytes: 7 * mib, Requests: 8},
		}},
	}, {
		name: "a common base brings two together where the balance allows it",
		repositories: []Unit{
			repository("q.io/a", base, blob("a", 10*mib)), repository("q.io/b", base, blob("b", 10*mib)),
			repository("q.io/c", blob("c", 1000*mib)), repository("q.io/d", blob("d", 40*mib)),
		},
		n: 2,
		want: Packing{Shards: []Shard{
			{Name: "s0", Repositories: []string{"q.io/a", "q.io/b"}, Bytes: gib + 20*mib, Requests: 8},
			{Name: "s1", Repositories: []string{"q.io/c", "q.io/d"}, Bytes: 1040 * mib, Requests: 8},
		}},
	}, {
		name: "a base that all need is in each shard and counted",
		repositories: []Unit{
			repository("q.io/a", base, blob("a", 500*mib)), repository("q.io/b", base, blob("b", 500*mib)),
		},
		n: 2,
		want: Packing{
			Shards: []Shard{
				{Name: "s0", Repositories: []string{"q.io/a"}, Bytes: gib + 500*mib, Requests: 4},
				{Name: "s1", Repositories: []string{"q.io/b"}, Bytes: gib + 500*mib, Requests: 4},
			},
			Duplicated: gib,
		},
	}, {
		name: "what two registries need is not common",
		repositories: []Unit{
			repository("q.io/a", base), repository("d.io/a", base),
		},
		n: 2,
		want: Packing{Shards: []Shard{
			{Name: "s0", Repositories: []string{"d.io/a"}, Bytes: gib, Requests: 4},
			{Name: "s1", Repositories: []string{"q.io/a"}, Bytes: gib, Requests: 4},
		}},
	}, {
		name: "two of one name are one, and a blob named twice counts once",
		repositories: []Unit{
			repository("q.io/a", blob("x", mib), blob("x", mib)), repository("q.io/a", blob("x", mib), blob("y", mib)),
		},
		n:    2,
		want: Packing{Shards: []Shard{{Name: "s0", Repositories: []string{"q.io/a"}, Bytes: 2 * mib, Requests: 8}}},
	}, {
		name: "bytes that only one repository needs weigh as much as blobs",
		repositories: []Unit{
			{Name: "q.io/a", Requests: 4, Bytes: 4 * mib}, {Name: "q.io/b", Requests: 4, Bytes: 2 * mib, Blobs: []Blob{blob("x", mib)}},
			{Name: "q.io/c", Requests: 4, Blobs: []Blob{blob("x", mib)}},
		},
		n: 2,
		want: Packing{Shards: []Shard{
			{Name: "s0", Repositories: []string{"q.io/a"}, Bytes: 4 * mib, Requests: 4},
			{Name: "s1", Repositories: []string{"q.io/b", "q.io/c"}, Bytes: 3 * mib, Requests: 8},
		}},
	}} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Pack(tc.repositories, tc.n)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestPackSharesBytes packs two families of images, each on a base of its own: packed as if
// nothing were shared, each of four shards needs both bases.
func TestPackSharesBytes(t *testing.T) {
	var repositories []Unit
	for i := range 100 {
		base := fmt.Sprint("base", i%2)
		repositories = append(repositories, repository(fmt.Sprintf("q.io/%d", i), blob(base, gib), blob(fmt.Sprint(i), 10*mib)))
	}
	p := Pack(repositories, 4)
	if want := 2 * gib; p.Duplicated != want {
		t.Errorf("got %d bytes duplicated, want %d: each base in two shards", p.Duplicated, want)
	}
	for _, s := range p.Shards {
		if s.Bytes < gib || s.Bytes > 2*gib {
			t.Errorf("shard %s has %d bytes, want one base and a part of its family", s.Name, s.Bytes)
		}
	}
}

func TestPackNames(t *testing.T) {
	for _, tc := range []struct {
		n           int
		first, last string
	}{
		{1, "s0", "s0"}, {10, "s0", "s9"}, {11, "s00", "s10"}, {64, "s00", "s63"}, {256, "s000", "s255"}, {1000, "s000", "s255"},
	} {
		var repositories []Unit
		for i := range tc.n {
			repositories = append(repositories, repository(fmt.Sprint("q.io/", i)))
		}
		shards := Pack(repositories, tc.n).Shards
		if got := shards[0].Name; got != tc.first {
			t.Errorf("%d shards: the first is %s, want %s", tc.n, got, tc.first)
		}
		if got := shards[len(shards)-1].Name; got != tc.last {
			t.Errorf("%d shards: the last is %s, want %s", tc.n, got, tc.last)
		}
	}
}

func TestPackHostileSizes(t *testing.T) {
	var repositories []Unit
	for i := range 20 {
		repositories = append(repositories, Unit{
			Name:     fmt.Sprint("q.io/", i),
			Requests: []int{math.MaxInt, math.MinInt, 0}[i%3],
			Bytes:    []int64{math.MaxInt64, 0, math.MinInt64}[i%3],
			Blobs:    []Blob{blob("common", math.MaxInt64), blob(fmt.Sprint(i), math.MaxInt64), blob(fmt.Sprint("-", i), math.MinInt64)},
		})
	}
	p := Pack(repositories, 4)
	check(t, repositories, 4, p)
	for _, s := range p.Shards {
		if s.Weight() < 0 || s.Bytes < 0 {
			t.Errorf("shard %s weighs %d and has %d bytes", s.Name, s.Weight(), s.Bytes)
		}
	}
	if p.Duplicated < 0 {
		t.Errorf("%d bytes are duplicated", p.Duplicated)
	}
}
