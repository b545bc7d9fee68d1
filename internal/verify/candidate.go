package verify

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"imagemirror/internal/digest"
)

// Bounds on what is read to verify one image.
const (
	MaxCandidates  = 100      // signatures and attestations
	MaxSignature   = 64 << 10 // bytes of a signature with its certificates
	MaxAttestation = 8 << 20  // bytes: an attestation may be a list of all packages
	MaxBytes       = 16 << 20 // of all that is read
)

// Media types of what is signed, and the beginning of those of bundles.
const (
	simpleSigning = "application/vnd.dev.cosign.simplesigning.v1+json"
	envelopeType  = "application/vnd.dsse.envelope.v1+json"
	bundleType    = "application/vnd.dev.sigstore.bundle"
)

// signPredicate is the predicate type of an attestation that is a signature (cosign,
// pkg/types/predicate.go).
const signPredicate = "https://sigstore.dev/cosign/sign/v1"

// IsBundle reports whether an artifact type is that of a Sigstore bundle, of any version.
func IsBundle(artifactType string) bool { return strings.HasPrefix(artifactType, bundleType) }

// A Candidate is a blob that may be a signature or an attestation of an image.
type Candidate struct {
	Digest string
	Size   int64 // bytes

	mediaType   string
	annotations map[string]string
	predicate   string // that it claims to have, or "" if it does not say
}

// Candidates returns what a manifest under one of cosign's tags has, or one that refers to an
// image: the newest first, which tools append.
func Candidates(manifest []byte) ([]Candidate, error) {
	var m struct {
		Layers []struct {
			MediaType   string            `json:"mediaType"`
			Digest      string            `json:"digest"`
			Size        int64             `json:"size"`
			Annotations map[string]string `json:"annotations"`
		} `json:"layers"`
		Annotations map[string]string `json:"annotations"`
	}
	if err := json.Unmarshal(manifest, &m); err != nil {
		return nil, fmt.Errorf("the manifest of the signature is invalid: %w", err)
	}
	var all []Candidate
	for _, l := range m.Layers {
		c := Candidate{Digest: l.Digest, Size: l.Size, mediaType: l.MediaType, annotations: l.Annotations}
		switch {
		case !digest.Valid(l.Digest) || l.Size < 0:
			continue
		case l.MediaType == simpleSigning:
			c.predicate = signPredicate
		case l.MediaType == envelopeType:
			c.predicate = l.Annotations["predicateType"]
		case IsBundle(l.MediaType):
			c.predicate = m.Annotations["dev.sigstore.bundle.predicateType"]
		default:
			continue
		}
		all = append(all, c)
	}
	slices.Reverse(all)
	return all, nil
}
