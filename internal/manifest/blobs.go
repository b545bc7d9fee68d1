package manifest

import (
	"encoding/binary"
	"iter"
)

// blobRefs is a list of blobs. A blob whose Ref is one more than the Ref before it, as for new
// blobs, takes one byte.
type blobRefs struct {
	text  []byte // for each blob: twice the difference to the Ref before, plus 1 if it is foreign
	last  Ref
	count int
}

func (b *blobRefs) add(ref Ref, foreign bool) {
	n := 2 * (int64(ref) - int64(b.last))
	if foreign {
		n++
	}
	b.text = binary.AppendVarint(b.text, n)
	b.last = ref
	b.count++
}

// all yields the blobs, and whether the manifest calls them foreign.
func (b blobRefs) all() iter.Seq2[Ref, bool] {
	return func(yield func(Ref, bool) bool) {
		last := Ref(0)
		for text := b.text; len(text) > 0; {
			n, size := binary.Varint(text)
			text = text[size:]
			last += Ref(n >> 1)
			if !yield(last, n&1 == 1) {
				return
			}
		}
	}
}
