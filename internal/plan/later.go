package plan

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"

	"imagemirror/internal/manifest"
	"imagemirror/internal/regerror"
	"imagemirror/internal/registry"
	"imagemirror/internal/settings"
	"imagemirror/internal/stream"
)

// This file finds what was made for images after they were copied, such as signatures, for sets
// whose settings say referrers.copy: always. A current image with something new becomes a copy
// whose image does not move: its old digest is the planned one.
//
// To find that nothing is new must cost little, since most runs find that: see "What travels with
// images" in docs/explanation/engine.md for the bound.

// attachLater finds what is new for targets that are current.
func (r *resolver) attachLater(ctx context.Context, targets []*target) {
	for _, t := range targets {
		if t.referrers.Copy != settings.CopyAlways || t.err != nil || t.held != "" || t.digest == "" || !t.current() || ctx.Err() != nil {
			continue
		}
		f := r.newFinder(ctx, t.from, t.referrers, []string{t.Set})
		f.to = t.to
		var err error
		if t.attached, err = f.news(ctx, t); err != nil {
			t.err = err
		}
	}
}

// brings reports whether something that can be copied travels with the target.
func (t *target) brings() bool {
	return slices.ContainsFunc(t.attached, func(a stream.Attachment) bool { return a.Error == nil })
}

// failedAttachments counts what cannot be copied, by kind.
func (t *target) failedAttachments() (kinds []stream.Travelled) {
	for _, a := range t.attached {
		i := slices.IndexFunc(kinds, func(k stream.Travelled) bool { return k.Kind == a.Kind })
		if i < 0 {
			i = len(kinds)
			kinds = append(kinds, stream.Travelled{Kind: a.Kind, Error: a.Error})
		}
		kinds[i].Failed++
	}
	return kinds
}

// news returns what is at the source for a current image, and not at its destination.
//
// The manifests below an index are asked for their referrers only if the index has some: the API
// has no request for all of them.
func (f *finder) news(ctx context.Context, t *target) ([]stream.Attachment, error) {
	if t.part.rewritten != "" && t.platforms.Form == settings.FormRewrite {
		return f.newsOfRewritten(ctx, t)
	}
	f.visit(t.digest)
	referring := f.referring(ctx, t.digest)
	found := f.descend(ctx, slices.Concat(f.tagged(ctx, t.digest), referring), 0)
	hasAny := slices.ContainsFunc(referring, func(a finding) bool { return a.Error == nil })
	if t.single || !hasAny && !f.tags.hasOthers(t.digest) && (f.tags.listed || len(found) == 0) {
		return f.travelling(found)
	}
	below, err := f.belowOf(ctx, t, t.digest)
	switch {
	case regerror.StatusOf(err) == http.StatusNotFound: // the source has another index under the tag
		return f.travelling(found)
	case err != nil:
		return f.travelling(append(found, f.failed("referrers", "", err)...))
	case !hasAny:
		below = slices.DeleteFunc(below, func(digest string) bool { return f.tags.listed && !f.tags.isFor(digest) })
	}
	return f.travelling(append(found, f.each(ctx, below)...))
}

// newsOfRewritten does what news does for an image with a rewritten index. Nothing at the source
// refers to such an index. Referrers of the source's own index do not travel: they only tell
// whether the manifests below it may have some.
func (f *finder) newsOfRewritten(ctx context.Context, t *target) ([]stream.Attachment, error) {
	index := t.part.rewritten
	referring, err := f.listReferrers(ctx, f.from, index, registry.ReferrersQuery{Type: f.filter(), Index: f.tags.presence(registry.ReferrersTag(index))})
	if err == nil && len(referring) == 0 && !f.tags.hasOthers(index) {
		return nil, nil
	}
	var below []string
	if err == nil {
		below, err = f.belowOf(ctx, t, index)
	}
	if err != nil {
		return f.travelling(f.failed("referrers", "", err))
	}
	return f.travelling(f.each(ctx, below))
}

// belowOf returns the digests of the manifests below an index that a target has.
func (f *finder) belowOf(ctx context.Context, t *target, index string) ([]string, error) {
	if t.view() == "" {
		return f.below(ctx, index, 0)
	}
	return f.trees.image(f.from, f.sets).narrowing(t).below(ctx, index)
}

// below returns the digests of the manifests below an index, which is read at the source unless the
// plan has it.
func (f *finder) below(ctx context.Context, digest string, depth int) ([]string, error) {
	children, err := f.children(ctx, f.from, digest)
	if err != nil || depth == manifest.MaxDepth {
		return nil, err
	}
	var all []string
	for _, c := range children {
		all = append(all, c.Digest)
		if manifest.IsIndex(c.MediaType) {
			below, err := f.below(ctx, c.Digest, depth+1)
			if err != nil {
				return nil, err
			}
			all = append(all, below...)
		}
		if len(all) > maxManifests {
			return nil, f.trees.image(f.from, f.sets).tooLarge("the image has more than %d manifests", maxManifests)
		}
	}
	return all, nil
}

// hasOthers reports whether the repository has a tag for any manifest other than the given one.
func (c *companions) hasOthers(digest string) bool {
	for tag := range c.tags {
		if !strings.HasPrefix(tag, registry.ReferrersTag(digest)) {
			return true
		}
	}
	return false
}

// isFor reports whether the repository has a tag for a manifest.
func (c *companions) isFor(digest string) bool {
	tag := registry.ReferrersTag(digest)
	return c.tags[tag] || slices.ContainsFunc(cosignKinds, func(k cosignKind) bool { return c.tags[tag+k.suffix] })
}

// pinsIndex reports whether a source that is probably current is asked for its manifest instead of
// its digest: it may be an index, and the repository has tags for manifests that may be below it.
func (r *resolver) pinsIndex(ctx context.Context, from *registry.Repository, targets []*target) bool {
	return slices.ContainsFunc(targets, func(t *target) bool {
		return t.referrers.Copy == settings.CopyAlways && !t.single && r.companionsOf(ctx, from).hasOthers(t.old)
	})
}

// A remembered answer was asked for once, for all images of a run that need it.
type remembered[T any] struct {
	once  sync.Once
	value T
	err   error
}

// rememberedAtMost bounds lists that are remembered, in entries. Longer ones are asked for again.
const rememberedAtMost = 20

// answers remembers what the registries were asked about current images: several tags of a
// repository may be at one image, and an image may have several destinations.
type answers struct {
	mu       sync.Mutex
	lists    map[questionOf]*remembered[[]registry.Referrer]
	tags     map[questionOf]*remembered[string]
	children map[questionOf]*remembered[[]manifest.Descriptor]
}

// A questionOf is about a tag or digest of a repository.
type questionOf struct {
	repository         *registry.Repository
	identifier, filter string
}

// once asks a question, unless it has been answered, and remembers the answer if keep says so.
func once[T any](mu *sync.Mutex, known *map[questionOf]*remembered[T], q questionOf, ask func() (T, error), keep func(T) bool) (T, error) {
	mu.Lock()
	if *known == nil {
		*known = map[questionOf]*remembered[T]{}
	}
	a := (*known)[q]
	if a == nil {
		a = &remembered[T]{}
		(*known)[q] = a
	}
	mu.Unlock()
	a.once.Do(func() { a.value, a.err = ask() })
	if a.err != nil || !keep(a.value) {
		mu.Lock()
		delete(*known, q)
		mu.Unlock()
	}
	return a.value, a.err
}

// listReferrers lists the referrers of a manifest.
func (f *finder) listReferrers(ctx context.Context, at *registry.Repository, subject string, q registry.ReferrersQuery) ([]registry.Referrer, error) {
	ask := func() ([]registry.Referrer, error) { return at.Referrers(ctx, subject, q) }
	if f.Copy != settings.CopyAlways { // images that are copied are few, or have other digests
		return ask()
	}
	return once(&f.answers.mu, &f.answers.lists, questionOf{at, subject, q.Type}, ask,
		func(list []registry.Referrer) bool { return len(list) <= rememberedAtMost })
}

// headTag returns the digest that a tag is at, or "" if it is not there.
func (r *resolver) headTag(ctx context.Context, at *registry.Repository, tag string) (string, error) {
	return once(&r.answers.mu, &r.answers.tags, questionOf{at, tag, ""}, func() (string, error) {
		digest, err := at.Head(ctx, tag)
		switch regerror.StatusOf(err) {
		case http.StatusNotFound, http.StatusUnauthorized, http.StatusForbidden: // see headDestination
			return "", nil
		}
		return digest, err
	}, func(string) bool { return true })
}

// children returns what an index lists, and nil for any other manifest.
func (r *resolver) children(ctx context.Context, from *registry.Repository, digest string) ([]manifest.Descriptor, error) {
	return once(&r.answers.mu, &r.answers.children, questionOf{from, digest, ""}, func() (list []manifest.Descriptor, err error) {
		var wrong error
		err = from.UseManifest(ctx, digest, func(m manifest.Raw) { list, wrong = childrenOf(from, m) })
		return list, cmp.Or(err, wrong)
	}, func(list []manifest.Descriptor) bool { return len(list) <= rememberedAtMost })
}

func childrenOf(from *registry.Repository, m manifest.Raw) ([]manifest.Descriptor, error) {
	parsed, err := manifest.Parse(m.MediaType, m.Content)
	if err != nil {
		return nil, from.BadManifest(m.Digest, err)
	}
	return parsed.Children, nil
}

// keepIfNew keeps the manifest of a source in the archive if a target has to be copied. Otherwise
// only what it lists is remembered.
func (r *resolver) keepIfNew(im *imageTree, m manifest.Raw, targets []*target) error {
	if slices.ContainsFunc(targets, func(t *target) bool { return t.old != m.Digest || t.lacksPlatforms(t.old) }) {
		return im.keep(m)
	}
	_, err := once(&r.answers.mu, &r.answers.children, questionOf{im.from, m.Digest, ""},
		func() ([]manifest.Descriptor, error) { return childrenOf(im.from, m) },
		func(list []manifest.Descriptor) bool { return len(list) <= rememberedAtMost })
	return err
}
