// Package digest defines what this project accepts as the digest of a blob or a manifest.
package digest

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
)

// Prefix begins every digest. Registries agree on sha256 only: in the OCI distribution
// spec, sha512 is optional.
const Prefix = "sha256:"

// Empty is the digest of content of no bytes.
const Empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// Length is the number of characters of every digest.
const Length = len(Prefix) + 2*sha256.Size

// Valid reports whether s is a digest: "sha256:" and 64 lower-case hexadecimal digits. A
// digest becomes part of a request's path, so each one from outside must pass this test:
// from mapping files, manifests, headers and streams.
func Valid(s string) bool {
	_, ok := Parse(s)
	return ok
}

// Parse returns the bytes of a digest. It reports false unless s is Valid.
func Parse[T string | []byte](s T) (sum [sha256.Size]byte, ok bool) {
	if len(s) != Length || string(s[:len(Prefix)]) != Prefix {
		return sum, false
	}
	for i := range sum {
		high, low := nibble(s[len(Prefix)+2*i]), nibble(s[len(Prefix)+2*i+1])
		if high|low > 15 {
			return [sha256.Size]byte{}, false
		}
		sum[i] = high<<4 | low
	}
	return sum, true
}

// nibble returns the value of a hexadecimal digit, and 0xff for any other byte.
func nibble(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}

// Append appends the digest with these bytes to a text.
func Append(to []byte, sum [sha256.Size]byte) []byte {
	return hex.AppendEncode(append(to, Prefix...), sum[:])
}

// Of returns the digest of b.
func Of(b []byte) string {
	return string(Append(nil, sha256.Sum256(b)))
}

// A Hash computes the digest of what is written to it.
type Hash struct{ hash.Hash }

// NewHash returns a Hash to which nothing has been written.
func NewHash() Hash { return Hash{sha256.New()} }

// Digest returns the digest of what has been written so far.
func (h Hash) Digest() string { return string(Append(nil, [sha256.Size]byte(h.Sum(nil)))) }
