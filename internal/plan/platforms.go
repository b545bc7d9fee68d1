package plan

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"imagemirror/internal/digest"
	"imagemirror/internal/fault"
	"imagemirror/internal/manifest"
	"imagemirror/internal/platforms"
	"imagemirror/internal/reference"
	"imagemirror/internal/registry"
	"imagemirror/internal/settings"
	"imagemirror/internal/stream"
	"imagemirror/internal/text"
)

// A part is what a destination gets of a source, by the platforms that its settings ask for.
type part struct {
	digest    string   // of what is published
	rewritten string   // of the source's index, if digest is not
	only      []string // the manifests below an index that are copied, if others are not
	partial   bool     // others are left out
	err       error
}

// changes reports whether the target gets another digest than its source has, if that is an index.
func (t *target) changes() bool { return t.platforms.Change() }

// askedLater reports whether what is at the destination is asked for once the source is known:
// without a tag, the image is at its digest, which the source has to tell.
func (t *target) askedLater() bool { return t.changes() && t.destination.Tag == "" }

// take gives the target what it gets of its source.
func (t *target) take(p part) {
	t.digest, t.part, t.err = p.digest, p, p.err
}

// names returns the platforms that the target's settings ask for, if the image has others.
func (t *target) names() []string {
	if !t.part.partial {
		return nil
	}
	return t.platforms.Only.Strings()
}

// tree returns the manifests that are copied for the target, without what travels with it.
func (t *target) tree(a *manifest.Archive) []manifest.Ref {
	return stream.Copy{Digest: t.digest, Only: t.part.only}.Tree(a)
}

// subjects returns the digests of a target's manifests that something at its source may refer to:
// those that are copied, without indexes that the source does not have.
func (t *trees) subjects(of *target) (list []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, ref := range of.tree(t.archive) {
		if named := t.archive.Digest(ref); !t.rewritten[named] {
			list = append(list, named)
		}
	}
	return list
}

// pinChanged reads a source if some of its targets get a changed index. If nothing is left to do,
// the targets then know their digests, and nothing of the manifest is kept: a quiet run of many
// rewritten indexes takes no memory for them.
func (r *resolver) pinChanged(ctx context.Context, im *imageTree, source reference.Reference, targets []*target) (named string, known *archived, err error) {
	err = im.from.UseManifest(ctx, source.Identifier(), func(m manifest.Raw) {
		named = m.Digest
		parts, ok := r.partsOf(m, targets)
		for i, p := range parts {
			ok = ok && p.err == nil && p.digest == targets[i].old && !targets[i].lacksPlatforms(p.digest)
		}
		if !ok {
			known = &archived{im.keep(m)}
			return
		}
		for i, t := range targets {
			t.take(parts[i])
		}
	})
	return named, known, err
}

// partsOf returns what targets get of a source, if its manifest alone can tell.
func (r *resolver) partsOf(m manifest.Raw, targets []*target) (parts []part, ok bool) {
	parsed, err := manifest.Parse(m.MediaType, m.Content)
	if err != nil {
		return nil, false
	}
	for _, t := range targets {
		p := part{digest: m.Digest}
		if t.view() != "" && manifest.IsIndex(parsed.MediaType) {
			if list, err := platforms.Unnamed(m.Content, 0); err != nil || len(list) > 0 {
				return nil, false
			}
			c, err := t.platforms.Only.Choose(m.Content, nil)
			if err != nil {
				return nil, false
			}
			if p, ok = published(m.Digest, c, t.platforms.Form); !ok {
				p.err = notChosen(t.from, t.platforms, c)
			}
		}
		parts = append(parts, p)
	}
	return parts, true
}

// examine returns the digest of a source for Probe, and tells targets what they get of it, as far
// as its manifest alone can tell.
func (r *resolver) examine(ctx context.Context, g *group) (named string, err error) {
	from := g.targets[0].from
	if !slices.ContainsFunc(g.targets, func(t *target) bool { return t.view() != "" }) {
		return from.Head(ctx, g.source.Identifier())
	}
	err = from.UseManifest(ctx, g.source.Identifier(), func(m manifest.Raw) {
		named = m.Digest
		parts, _ := r.partsOf(m, g.targets)
		for i, p := range parts {
			g.targets[i].take(p)
		}
	})
	return named, err
}

// published returns what is published of an index in a form, and false if the list of platforms
// leaves nothing that can be published.
func published(index string, c platforms.Choice, form string) (part, bool) {
	switch {
	case !c.Matches || form == settings.FormFlatten && len(c.Images) != 1:
		return part{digest: index}, false
	case form == settings.FormFlatten:
		return part{digest: c.Images[0], rewritten: index, partial: true}, true
	case form == settings.FormSparse || c.Whole:
		return part{digest: index}, true
	}
	return part{digest: digest.Of(c.Content), rewritten: index, partial: true}, true
}

// narrow tells targets the digest that they get of a source, unless settledBy has. Those that get a
// changed index need its content for that.
func (r *resolver) narrow(ctx context.Context, im *imageTree, named string, known *archived, targets []*target) {
	same := map[string]part{}
	for _, t := range targets {
		if t.digest != "" || !t.changes() {
			t.digest = cmp.Or(t.digest, named)
			continue
		}
		if _, done := same[t.view()]; !done {
			same[t.view()] = im.narrowing(t).published(ctx, named, known)
		}
		t.take(same[t.view()])
		if t.err == nil && t.askedLater() {
			t.askAt(ctx, t.digest)
		}
	}
}

// readAll reads the manifests that are copied for targets of one source.
func (r *resolver) readAll(ctx context.Context, im *imageTree, named string, known *archived, targets []*target) {
	same := map[string]part{}
	for _, t := range targets {
		p, done := same[t.view()]
		switch {
		case done:
		case t.view() == "":
			p = part{digest: named, err: im.all(ctx, named, known)}
		default:
			p = im.narrowing(t).copied(ctx, named, known)
		}
		if known == nil && t.source.Digest == "" && !done {
			p.err = explainMissing(p.err, named, t.source.Tag)
		}
		same[t.view()] = p
		t.take(p)
	}
}

// lacksPlatforms reports whether, by the record, the platforms that were copied of the index at
// the destination are not those that are asked for now.
func (t *target) lacksPlatforms(index string) bool {
	had := t.recorded
	return had != nil && had.Digest == index && !t.mayBeKept() && len(had.Platforms) > 0 && had.Rewritten == "" &&
		(t.changes() || !slices.Equal(had.Platforms, t.platforms.Only.Strings()))
}

// view returns a text that is equal for targets which get the same of a source. It is empty if they
// get all of it.
func (t *target) view() string {
	if len(t.platforms.Only) == 0 {
		return ""
	}
	return t.platforms.Form + " " + t.platforms.Only.String()
}

// notChosen returns the error of an image that the list of platforms leaves nothing of.
func notChosen(from *registry.Repository, asked settings.Platforms, c platforms.Choice) error {
	what := "reading manifests of " + from.Name() + " at the source: "
	f := fault.Fault{Kind: fault.Missing, Side: reference.Source, Host: from.Registry()}
	if c.Matches {
		f.Kind, f.Advice = fault.Unsupported, "write platforms.form: "+settings.FormRewrite+" in the set's settings.yaml, or list a platform that one image has"
		return fault.New(f, what+fmt.Sprintf("%s of the index are for %s, and platforms.form %s publishes one", text.Count(len(c.Images), "image"), asked.Only, settings.FormFlatten))
	}
	f.Advice = "add a platform of the image to platforms in the set's settings.yaml, or remove the mapping"
	offers := "names no platform"
	if len(c.Offers) > 0 {
		offers = "is for " + text.Clip(c.Offers.String(), maxReason)
	}
	return fault.New(f, what+fmt.Sprintf("the image %s, and platforms asks for %s", offers, asked.Only))
}
