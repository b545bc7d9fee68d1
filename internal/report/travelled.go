package report

import (
	"fmt"
	"slices"
	"strings"

	"imagemirror/internal/digest"
	"imagemirror/internal/secret"
	"imagemirror/internal/stream"
	"imagemirror/internal/text"
)

// MaxKinds is how many kinds of what came with an image are told apart.
const MaxKinds = 20

// maxKind bounds the name of a kind, in characters.
const maxKind = 100

// A Travelled counts the manifests of one kind that came with an image, such as its signatures.
type Travelled struct {
	Kind   string `json:"kind"` // artifact type, or signature, attestation or sbom for cosign's tags
	Copied int    `json:"copied"`
	Failed int    `json:"failed,omitempty"`
	Error  string `json:"error,omitempty"` // of the first that failed

	Digests []string `json:"digests,omitempty"` // of the first that were copied: see stream.MaxNamed
}

// TravelledCounts count what came with all images.
type TravelledCounts struct {
	Copied int `json:"copied"`
	Failed int `json:"failed"`
}

// travelled returns what a stream says of one image, bounded and printable.
func travelled(all []stream.Travelled) []Travelled {
	var kinds []Travelled
	named := 0
	for _, t := range all[:min(MaxKinds, len(all))] {
		k := Travelled{Kind: text.Line(secret.Hide(t.Kind), maxKind), Copied: max(0, t.Copied), Failed: max(0, t.Failed)}
		if t.Error != nil {
			k.Error = text.Line(secret.Hide(t.Error.Message), maxMessage)
		}
		for _, d := range t.Digests {
			if named < stream.MaxNamed && digest.Valid(d) {
				k.Digests = append(k.Digests, d)
				named++
			}
		}
		kinds = append(kinds, k)
	}
	return kinds
}

// planned returns what a copy will bring with its image.
func planned(c stream.Copy) []Travelled {
	var kinds []stream.Travelled
	for _, a := range c.Attached {
		i := slices.IndexFunc(kinds, func(t stream.Travelled) bool { return t.Kind == a.Kind })
		if i < 0 {
			i = len(kinds)
			kinds = append(kinds, stream.Travelled{Kind: a.Kind})
		}
		if t := &kinds[i]; a.Error == nil {
			t.Copied++
		} else {
			t.Failed++
			t.Error = a.Error
		}
	}
	return travelled(kinds)
}

// countTravelled counts what came with all images, and warns of what did not.
func (r *Report) countTravelled() {
	var all TravelledCounts
	for _, m := range r.Results {
		for _, t := range m.Travelled {
			all.Copied, all.Failed = all.Copied+t.Copied, all.Failed+t.Failed
			if t.Failed > 0 {
				r.warn(fmt.Sprintf("%s: %s lacks %d of its %s: %s", m.position(), m.Destination, t.Failed, t.Kind, t.Error))
			}
		}
	}
	if all != (TravelledCounts{}) {
		r.Summary.Travelled = &all
	}
}

// stays reports whether the destination has the image already, so that only its referrers are
// copied.
func (r *Result) stays() bool { return r.Old != "" && r.Old == r.Digest }

// moves returns the images that were copied, and those that something was copied for later.
func (r *Report) moves() []*Result {
	return append(r.withStatus(stream.Copied), r.later()...)
}

// later returns the images that are current, and that something was copied for.
func (r *Report) later() (some []*Result) {
	for _, m := range r.withStatus(stream.Current) {
		if slices.ContainsFunc(m.Travelled, func(t Travelled) bool { return t.Copied > 0 }) {
			some = append(some, m)
		}
	}
	return some
}

// withReferrers returns how many images get only referrers, as a phrase to append.
func withReferrers(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", %d with new referrers", n)
}

// with returns in a few words which part of its source the image is, and what came with it, or "".
func (r *Result) with() string {
	words := []string{r.part(), r.company()}
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), ", ")
}

// company returns what came with the image in a few words, or "".
func (r *Result) company() string {
	var words []string
	for _, t := range r.Travelled {
		switch {
		case t.Failed > 0:
			words = append(words, fmt.Sprintf("%d of %s", t.Copied, t.count(t.Copied+t.Failed)))
		case t.Copied > 0:
			words = append(words, t.count(t.Copied))
		}
	}
	if words = append(words, r.alsoAs()...); len(words) == 0 {
		return ""
	}
	return "with " + strings.Join(words, ", ")
}

// count returns how many of the kind there are, for people.
func (t Travelled) count(n int) string { return ReferrerCount{Kind: t.Kind, Count: n}.String() }
