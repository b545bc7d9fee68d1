package plan

import (
	"context"
	"fmt"
	"slices"

	"imagemirror/internal/fault"
	"imagemirror/internal/reference"
	"imagemirror/internal/registry"
	"imagemirror/internal/stream"
	"imagemirror/internal/tagname"
	"imagemirror/internal/text"
)

// nameTags gives targets that are copied their additional tags. One that cannot be made fails by
// itself, except the one that keeps what the destination's tag points at.
func (r *resolver) nameTags(ctx context.Context, from *registry.Repository, targets []*target) {
	labels := map[string]func(string) (string, error){} // by digest
	for _, t := range targets {
		if t.needsLabels() && labels[t.digest] == nil {
			labels[t.digest] = r.labelsOf(ctx, from, t.digest)
		}
		v := tagname.Values{Tag: t.destination.Tag, SourceTag: t.source.Tag, Digest: t.digest, Date: r.started, Label: labels[t.digest]}
		for _, template := range t.settings.Tags {
			t.addTag(t.expandTag(template, v))
		}
		if keep := t.settings.Keep; !keep.IsZero() && t.destination.Tag != "" && t.old != "" && t.old != t.digest {
			v.Digest = t.old
			kept := t.expandTag(keep, v)
			if kept.Error != nil && t.err == nil {
				t.err = kept.Error
			}
			t.keep = &kept
		}
	}
}

// labelsOf returns a function that returns the value of a label of an image.
func (r *resolver) labelsOf(ctx context.Context, from *registry.Repository, digest string) func(name string) (string, error) {
	labels, unread := r.labels(ctx, from, digest)
	return func(name string) (string, error) {
		value, ok := labels[name]
		switch {
		case unread != nil:
			return "", fmt.Errorf("has no value for {label:%s}: %w", name, unread)
		case !ok || value == "":
			return "", fmt.Errorf("has no value for {label:%s}: the image is without this label", name)
		}
		return value, nil
	}
}

// needsLabels reports whether a label of the image is a part of the target's additional tags.
func (t *target) needsLabels() bool {
	return slices.ContainsFunc(t.settings.Tags, tagname.Template.NeedsLabels)
}

// expandTag returns the additional tag of a template, or why there is none.
func (t *target) expandTag(template tagname.Template, v tagname.Values) stream.ExtraTag {
	tag, err := template.Expand(v)
	if err != nil {
		return stream.ExtraTag{Error: tagError(fault.New(
			fault.Fault{Kind: fault.Conflict, Side: reference.Destination, Advice: "correct spec.tags or spec.keep in the set's settings.yaml"},
			fmt.Sprintf("the additional tag %s %v", template, err)))}
	}
	return stream.ExtraTag{Tag: tag, Immutable: t.settings.Keeps(tag)}
}

// addTag adds an additional tag, unless another template made the same.
func (t *target) addTag(one stream.ExtraTag) {
	if one.Tag == "" || !slices.ContainsFunc(t.tags, func(other stream.ExtraTag) bool { return other.Tag == one.Tag }) {
		t.tags = append(t.tags, one)
	}
}

// tagError returns the error of an additional tag, which is one of many on a line of the plan.
func tagError(err error) *stream.Error {
	e := stream.ErrorOf(err)
	e.Message, e.Advice = text.Clip(e.Message, maxReason), text.Clip(e.Advice, maxReason)
	return e
}

// A place is a tag in a repository of a registry.
type place struct{ registry, path, tag string }

// placeOf returns where a tag is in the repository of a target's destination.
func (t *target) placeOf(tag string) place {
	if t.to == nil { // its registry is not known, so it fails
		return place{t.destination.Registry, t.destination.Repository, tag}
	}
	return place{t.to.Registry(), t.to.Path(), tag}
}

// A tagClaim is what an additional tag of a target will point at.
type tagClaim struct {
	by     *target
	digest string
}

// contestTags fails additional tags that are the destination of a mapping, or that would be at two
// images. A target fails whose old image cannot be kept for that reason.
func (r *resolver) contestTags(targets []*target) {
	if !slices.ContainsFunc(targets, func(t *target) bool { return len(t.tags) > 0 || t.keep != nil }) {
		return
	}
	destinations, claims := map[place]*target{}, map[place]tagClaim{}
	for _, t := range targets {
		if t.destination.Tag != "" {
			destinations[t.placeOf(t.destination.Tag)] = t
		}
	}
	take := func(t *target, tag, digest string) *stream.Error {
		at := t.placeOf(tag)
		if other := destinations[at]; other != nil {
			return contested(tag, fmt.Sprintf("the destination of %s:%d", other.File, other.Line))
		}
		if other, taken := claims[at]; taken && other.digest != digest {
			return contested(tag, fmt.Sprintf("an additional tag of %s at %s:%d, too", other.by.Destination, other.by.File, other.by.Line))
		}
		claims[at] = tagClaim{t, digest}
		return nil
	}
	for _, t := range targets {
		if !t.settled && t.keep != nil {
			if e := take(t, t.keep.Tag, t.old); e != nil {
				t.settled, t.err = true, e
			}
		}
	}
	for _, t := range targets {
		for i := range t.tags {
			if one := &t.tags[i]; !t.settled && one.Error == nil {
				one.Error = take(t, one.Tag, t.digest)
			}
		}
	}
}

func contested(tag, whose string) *stream.Error {
	return tagError(fault.New(
		fault.Fault{Kind: fault.Conflict, Side: reference.Destination, Advice: "change spec.tags or spec.keep in the set's settings.yaml, so that no two mappings make the same tag"},
		fmt.Sprintf("the additional tag %s is %s", tag, whose)))
}
