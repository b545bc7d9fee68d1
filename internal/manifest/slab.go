package manifest

import "bytes"

// A slab stores texts contiguously. Allocated one by one, each would be rounded up by about an
// eighth, and garbage would leave gaps between them.
type slab struct{ free []byte }

// slabSize is the size of one allocation. What has more than longText bytes gets its own.
const (
	slabSize = 64 << 10
	longText = slabSize / 8
)

// keep returns a copy of a text. It does not change, and is never freed.
func (s *slab) keep(text []byte) []byte {
	if len(text) > longText {
		return bytes.Clone(text)
	}
	if len(text) > len(s.free) {
		s.free = make([]byte, slabSize)
	}
	n := copy(s.free, text)
	kept := s.free[:n:n]
	s.free = s.free[n:]
	return kept
}
