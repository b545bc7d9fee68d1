package report

import (
	"cmp"
	"fmt"
	"slices"

	"imagemirror/internal/stream"
	"imagemirror/internal/text"
)

// A ReferrerCount counts the manifests of one kind that are with an image at its destination, such
// as its signatures.
type ReferrerCount struct {
	Kind    string   `json:"kind"` // artifact type, or signature, attestation or sbom for cosign's tags
	Count   int      `json:"count"`
	Digests []string `json:"digests,omitempty"` // of the first ones: see stream.MaxNamed
}

// String returns how many there are, for people. An artifact type has no plural.
func (r ReferrerCount) String() string {
	switch r.Kind {
	case "signature", "attestation":
		return text.Count(r.Count, r.Kind)
	case "sbom":
		return text.Count(r.Count, "SBOM")
	}
	return fmt.Sprintf("%d %s", r.Count, r.Kind)
}

// ReferrersAfter returns what is with the image after the run, by kind, if before was with it. An
// image that was copied begins anew.
func (r *Result) ReferrersAfter(before []ReferrerCount) []ReferrerCount {
	if r.Status == stream.Copied || r.Kind.Published() && !r.stays() {
		before = nil
	}
	after := slices.Clone(before)
	named := 0
	for _, b := range before {
		named += len(b.Digests)
	}
	for _, t := range r.Travelled {
		if t.Copied <= 0 {
			continue
		}
		i := slices.IndexFunc(after, func(a ReferrerCount) bool { return a.Kind == t.Kind })
		if i < 0 {
			if len(after) == MaxKinds {
				continue
			}
			i, after = len(after), append(after, ReferrerCount{Kind: t.Kind})
		}
		a := &after[i]
		a.Digests = slices.Clone(a.Digests)
		a.Count += t.Copied
		for _, d := range t.Digests {
			switch {
			case slices.Contains(a.Digests, d):
				a.Count-- // it was there, and was copied again
			case named < stream.MaxNamed:
				a.Digests = append(a.Digests, d)
				named++
			}
		}
	}
	slices.SortFunc(after, func(a, b ReferrerCount) int { return cmp.Compare(a.Kind, b.Kind) })
	return after
}
