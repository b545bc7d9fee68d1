package manifest

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/digest"
)

// Blobs come back in the order of their manifest, whichever Refs they have.
func TestArchiveKeepsListsOfBlobs(t *testing.T) {
	a := NewArchive()
	random := rand.New(rand.NewPCG(3, 4))
	for _, c := range []struct {
		name  string
		blobs []int
	}{
		{"none", nil},
		{"new ones", []int{1, 2, 3}},
		{"known ones, the last first", []int{3, 2, 1}},
		{"in any order", random.Perm(5000)},
		{"known ones, far apart", []int{4999, 0, 4998, 1, 2}},
	} {
		named := digest.Of([]byte(c.name))
		var got, want []Descriptor
		for i, n := range c.blobs {
			d := Descriptor{Digest: fakeDigest(uint64(n)), Size: 10}
			if i%3 == 1 {
				d.MediaType, d.URLs = "application/vnd.oci.image.layer.nondistributable.v1.tar", []string{"https://x"}
			}
			want = append(want, d)
		}
		ref := a.Add(named, []byte(c.name), Manifest{MediaType: OCIManifest, Blobs: want})
		if n, claimed := a.Weigh(ref); n != len(want) || claimed != int64(10*len(want)) {
			t.Errorf("%s: the blobs are %d of %d bytes, want %d of 10 each", c.name, n, claimed, len(want))
		}
		for i, b := range a.Blobs(ref) {
			if b.Foreign != want[i].Foreign() {
				t.Fatalf("%s: blob %d is foreign: %v", c.name, i, b.Foreign)
			}
			got = append(got, Descriptor{Digest: a.Digest(b.Ref), Size: b.Size, MediaType: want[i].MediaType, URLs: want[i].URLs})
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// A blob has the largest size that any manifest gives, also beyond 32 bits.
func TestArchiveKeepsSizes(t *testing.T) {
	a := NewArchive()
	largest := int64(0)
	for _, size := range []int64{0, 7, 3, math.MaxUint32 - 1, 8, math.MaxUint32, math.MaxUint32 - 1, math.MaxUint32 + 1, MaxBlob, 9} {
		largest = max(largest, size)
		content := []byte{byte(a.Len())}
		ref := a.Add(digest.Of(content), content, Manifest{Blobs: []Descriptor{{Digest: fakeDigest(1), Size: size}, {Digest: fakeDigest(2), Size: 5}}})
		if got := a.Blobs(ref); got[0].Size != largest || got[1].Size != 5 {
			t.Errorf("after %d: the sizes are %d and %d, want %d and 5", size, got[0].Size, got[1].Size, largest)
		}
	}
}

// What a manifest takes of a room counts sizes that need more memory.
func TestArchiveWeighsLargeSizes(t *testing.T) {
	takes := func(size int64) int64 {
		_, n, _ := NewArchive().AddWithin(fakeDigest(1), nil, Manifest{Blobs: []Descriptor{{Digest: fakeDigest(2), Size: size}}}, math.MaxInt64)
		return n
	}
	if small, large := takes(1<<20), takes(MaxBlob); large != small+largeSize {
		t.Errorf("a small blob takes %d bytes and a large one %d, want %d more", small, large, largeSize)
	}
}

func TestSlab(t *testing.T) {
	var s slab
	var want, got [][]byte
	random := rand.New(rand.NewPCG(5, 6))
	for range 1000 {
		text := make([]byte, random.IntN(2*longText))
		for i := range text {
			text[i] = byte(random.Uint32())
		}
		want, got = append(want, bytes.Clone(text)), append(got, s.keep(text))
		clear(text) // it may be used again
	}
	for i := range got {
		_ = append(got[i], 1) // writes into no other
	}
	for i := range got {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("text %d has changed", i)
		}
	}
}
