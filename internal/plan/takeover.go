package plan

import (
	"context"
	"fmt"
	"net/http"

	"imagemirror/internal/regerror"
)

// takeOver notes a tag that is published with a digest that does not come from the mapping's
// source: a run would replace what something else publishes. It asks nothing about destinations
// that the record of the set has, since their mappings are not new. A tag that may not be read
// counts as absent.
func (r *resolver) takeOver(ctx context.Context, t *target, digest string) {
	r.remember([]*target{t})
	if t.recorded != nil || t.destination.Tag == "" {
		return
	}
	to, err := r.Client.Destination(ctx, t.destination, false)
	if err != nil {
		return
	}
	t.to = to
	there, err := headDestination(ctx, t, t.destination.Tag)
	published := there.Digest
	if err != nil || published == "" || published == digest {
		return
	}
	// An image that the source has, too, is an earlier one of the mapping's own.
	if _, err := t.from.Head(ctx, published); regerror.StatusOf(err) != http.StatusNotFound {
		return
	}
	t.takeover = fmt.Errorf("the tag %s is published as %s, which %s does not have: if something else publishes it, a run replaces that; check who does, or choose another tag",
		t.Destination, published, t.source.Name())
}
