// Package verify decides whether signatures of an image are what settings or a policy demand of it.
// The cryptography is Sigstore's: this package brings what registries store into the form that
// its libraries verify, and says in one line what is missing.
//
// It reads cosign's tags (cosign, specs/SIGNATURE_SPEC.md) and Sigstore bundles (cosign,
// specs/BUNDLE_SPEC.md). It has no network access: roots of trust are files. All that it reads
// is hostile, and bounded by whoever fetches it to MaxCandidates and to Check.Wants.
package verify
