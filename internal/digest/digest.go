// Package digest defines what this project accepts as the digest of a blob or a manifest.
package digest

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"strings"
)

// prefix is the algorithm. Registries agree on sha256 only: in the OCI distribution
// spec, sha512 is optional.
const prefix = "sha256:"

// Valid reports whether s is "sha256:" and 64 lower-case hexadecimal digits. A digest
// becomes part of a request's path, so whatever comes from outside has to pass here
// first: mapping files, manifests, headers and streams.
func Valid(s string) bool {
	digits, ok := strings.CutPrefix(s, prefix)
	return ok && len(digits) == hex.EncodedLen(sha256.Size) && strings.Trim(digits, "0123456789abcdef") == ""
}

// Of returns the digest of b.
func Of(b []byte) string {
	sum := sha256.Sum256(b)
	return prefix + hex.EncodeToString(sum[:])
}

// A Hash computes the digest of what is written to it.
type Hash struct{ hash.Hash }

// NewHash returns a Hash of nothing yet.
func NewHash() Hash { return Hash{sha256.New()} }

// Digest returns the digest of what has been written so far.
func (h Hash) Digest() string { return prefix + hex.EncodeToString(h.Sum(nil)) }
