package manifest

import (
	"encoding/binary"
	"hash/maphash"
	"math"
	"math/bits"

	"imagemirror/internal/digest"
)

// digests numbers sha256 digests. It takes 36 bytes for each, and up to 8 to find it again.
// A map of strings would take about 200, and a large plan has a million digests.
type digests struct {
	seed   maphash.Seed // random: registries choose digests, and must not choose slots
	chunks []*numbered  // so that nothing is copied to grow
	slots  []uint32     // open addressing: Ref+1, or 0 if free
	count  int
	large  map[Ref]int64 // sizes for which a numbered has no room
}

// A numbered is a part of digests.
type numbered struct {
	sums  [chunkSize][32]byte
	sizes [chunkSize]uint32 // bytes, or largeBlob
}

const chunkSize = 4096

// largeBlob stands for a size of at least as many bytes, which is in a map. Few blobs are as large.
const largeBlob = math.MaxUint32

func newDigests() digests {
	return digests{seed: maphash.MakeSeed(), slots: make([]uint32, 1024), large: map[Ref]int64{}}
}

func (d *digests) len() int { return d.count }

func (d *digests) sum(ref Ref) *[32]byte { return &d.chunks[ref/chunkSize].sums[ref%chunkSize] }

// add returns the Ref of a digest, and numbers it if it is new. It panics if the digest is
// not valid.
func (d *digests) add(named string) Ref {
	sum, ok := digest.Parse(named)
	if !ok {
		panic("manifest: not a sha256 digest: " + named)
	}
	return d.addSum(sum)
}

func (d *digests) addSum(sum [32]byte) Ref {
	slot, found := d.slot(sum)
	if found {
		return Ref(d.slots[slot] - 1)
	}
	if 4*d.count >= 3*len(d.slots) {
		d.rehash()
		slot, _ = d.slot(sum)
	}
	if d.count%chunkSize == 0 {
		d.chunks = append(d.chunks, new(numbered))
	}
	ref := Ref(d.count)
	d.count++
	*d.sum(ref) = sum
	d.slots[slot] = uint32(d.count)
	return ref
}

// slot returns the index in slots of a digest, or the free one where it belongs.
func (d *digests) slot(sum [32]byte) (slot int, found bool) {
	hash, length := maphash.Bytes(d.seed, sum[:]), uint64(len(d.slots))
	first, _ := bits.Mul64(hash, length) // as hash % length, but quicker
	for slot = int(first); d.slots[slot] != 0; {
		if *d.sum(Ref(d.slots[slot] - 1)) == sum {
			return slot, true
		}
		if slot++; slot == len(d.slots) {
			slot = 0
		}
	}
	return slot, false
}

func (d *digests) rehash() {
	d.slots = make([]uint32, len(d.slots)+len(d.slots)/2)
	for ref := range d.count {
		slot, _ := d.slot(*d.sum(Ref(ref)))
		d.slots[slot] = uint32(ref + 1)
	}
}

func (d *digests) find(named string) (Ref, bool) {
	sum, ok := digest.Parse(named)
	if !ok {
		return 0, false
	}
	slot, found := d.slot(sum)
	if !found {
		return 0, false
	}
	return Ref(d.slots[slot] - 1), true
}

func (d *digests) text(ref Ref) string { return string(d.append(nil, ref)) }

// append appends the text of a digest to a slice.
func (d *digests) append(to []byte, ref Ref) []byte { return digest.Append(to, *d.sum(ref)) }

func (d *digests) prefix(ref Ref) uint64 { return binary.BigEndian.Uint64(d.sum(ref)[:]) }

func (d *digests) size(ref Ref) int64 {
	if size := d.chunks[ref/chunkSize].sizes[ref%chunkSize]; size != largeBlob {
		return int64(size)
	}
	return d.large[ref]
}

// grow raises the size of a blob to size, if that is larger.
func (d *digests) grow(ref Ref, size int64) {
	if size <= d.size(ref) {
		return
	}
	if size >= largeBlob {
		d.large[ref] = size
	}
	d.chunks[ref/chunkSize].sizes[ref%chunkSize] = uint32(min(size, largeBlob))
}
