package prune

import (
	"fmt"
	"testing"

	"imagemirror/internal/manifest"
)

// Indexes that list the same indexes, which list the same ones in turn, are searched once each.
func TestNestedIndexesAreSearchedOnce(t *testing.T) {
	t.Parallel()
	const levels, width = manifest.MaxDepth - 1, 50
	r := &repository{at: map[string]manifest.Descriptor{}, below: map[string][]manifest.Descriptor{}}
	level := func(n int) (all []manifest.Descriptor) {
		for i := range width {
			all = append(all, manifest.Descriptor{MediaType: manifest.OCIIndex, Digest: fmt.Sprintf("%d-%d", n, i)})
		}
		return all
	}
	for n := range levels {
		for _, d := range level(n) {
			r.below[d.Digest] = level(n + 1)
		}
	}
	for _, d := range level(levels) {
		r.below[d.Digest] = []manifest.Descriptor{{MediaType: manifest.OCIManifest, Digest: "image"}}
	}
	r.at["v1"] = level(0)[0]
	for digest, want := range map[string]bool{"image": true, "7-49": true, "none": false} {
		if got := r.leads(t.Context(), digest, []string{"v1"}, nil); got != want {
			t.Errorf("the tag leads to %s: %t, want %t", digest, got, want)
		}
	}
}
