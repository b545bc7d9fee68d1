package manifest

import (
	"encoding/binary"
	"hash/maphash"

	"imagemirror/internal/digest"
)

// digests numbers sha256 digests. It takes 40 bytes for each, and up to 11 to find it again.
// A map of strings would take about 200, and a large plan has a million digests.
type digests struct {
	seed   maphash.Seed // random: registries choose digests, and must not choose slots
	chunks [][]numbered // of chunkSize each, so that nothing is copied to grow
	slots  []uint32     // open addressing: Ref+1, or 0 if free; the length is a power of two
	count  int
}

type numbered struct {
	sum  [32]byte
	size int64
}

const chunkSize = 4096

func newDigests() digests { return digests{seed: maphash.MakeSeed(), slots: make([]uint32, 1024)} }

func (d *digests) len() int { return d.count }

func (d *digests) numbered(ref Ref) *numbered { return &d.chunks[ref/chunkSize][ref%chunkSize] }

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
		d.chunks = append(d.chunks, make([]numbered, chunkSize))
	}
	ref := Ref(d.count)
	d.count++
	d.numbered(ref).sum = sum
	d.slots[slot] = uint32(d.count)
	return ref
}

// slot returns the index in slots of a digest, or the free one where it belongs.
func (d *digests) slot(sum [32]byte) (slot int, found bool) {
	mask := len(d.slots) - 1
	slot = int(maphash.Bytes(d.seed, sum[:])) & mask
	for d.slots[slot] != 0 {
		if d.numbered(Ref(d.slots[slot]-1)).sum == sum {
			return slot, true
		}
		slot = (slot + 1) & mask
	}
	return slot, false
}

func (d *digests) rehash() {
	d.slots = make([]uint32, 2*len(d.slots))
	for ref := range d.count {
		slot, _ := d.slot(d.numbered(Ref(ref)).sum)
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
func (d *digests) append(to []byte, ref Ref) []byte {
	return digest.Append(to, d.numbered(ref).sum)
}

func (d *digests) prefix(ref Ref) uint64 { return binary.BigEndian.Uint64(d.numbered(ref).sum[:]) }

func (d *digests) size(ref Ref) int64 { return d.numbered(ref).size }

// grow raises the size of a blob to size, if that is larger.
func (d *digests) grow(ref Ref, size int64) {
	e := d.numbered(ref)
	e.size = max(e.size, size)
}
