package prune

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"imagemirror/internal/manifest"
	"imagemirror/internal/reference"
	"imagemirror/internal/regerror"
	"imagemirror/internal/registry"
	"imagemirror/internal/stream"
	"imagemirror/internal/text"
)

// maxAsked bounds the tags of a repository that are asked for to find out whether one of them leads
// to an image. In a larger repository, referrers stay.
const maxAsked = 2000

// atOnce bounds the tags that are asked for at once. The slots of their registry bound the
// requests.
const atOnce = 16

// Propose returns the Proposal of unwanted tags: those that are at a digest that a run of the set
// has pushed. It only reads.
func Propose(ctx context.Context, c *registry.Client, set string, found []UnwantedTag, left []Left, now time.Time) (*Proposal, error) {
	l := &lister{repositories: repositories{client: c, known: map[string]*repository{}}, now: now}
	places := make(chan struct{}, atOnce)
	answers := make([]inspection, len(found))
	var all sync.WaitGroup
	for i, candidate := range found {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			answers[i] = l.ask(ctx, candidate)
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("interrupted: nothing was listed")
	}
	f := &Proposal{Version: Version, Set: text.Line(set, maxText), Created: now.UTC().Truncate(time.Second), Tags: []Tag{}, Left: left}
	for i, a := range answers {
		switch {
		case a.why != "":
			f.Left = append(f.Left, Left{Tag: found[i].Tag.String(), Why: a.why})
		case a.missing:
			f.Deleted = append(f.Deleted, found[i].Tag.String())
		case len(f.Tags) < maxTags:
			f.Tags = append(f.Tags, a.tag)
		}
	}
	f.Left, f.Deleted = f.Left[:min(len(f.Left), maxTags)], f.Deleted[:min(len(f.Deleted), maxTags)]
	return f, nil
}

// An inspection is what the registry tells of an unwanted tag.
type inspection struct {
	tag     Tag
	missing bool   // the tag does not exist
	why     string // why it is left
}

type lister struct {
	repositories
	now time.Time
}

// ask asks the registry about an unwanted tag.
func (l *lister) ask(ctx context.Context, c UnwantedTag) inspection {
	r, err := l.open(ctx, c.Tag)
	if err != nil {
		return inspection{why: reason(err)}
	}
	at, err := r.to.Head(ctx, c.Tag.Tag)
	switch {
	case regerror.StatusOf(err) == http.StatusNotFound:
		return inspection{missing: true}
	case err != nil:
		return inspection{why: reason(err)}
	case !slices.Contains(c.Digests, at):
		return inspection{why: fmt.Sprintf("it is at %s, which no run of the set has pushed: somebody else did", at)}
	}
	t := Tag{
		Tag: c.Tag.String(), Digest: at, Unwanted: c.Since.Truncate(time.Second), Reason: text.Line(c.Reason, maxText),
		Age: fmt.Sprintf("%d days", int(l.now.Sub(c.Since).Hours()/24)),
	}
	for _, w := range c.With {
		if now, err := r.to.Head(ctx, w.Tag); err == nil && now == w.Digest {
			t.With = append(t.With, w)
		}
	}
	t.With = append(t.With, l.referring(ctx, r, t)...)
	return inspection{tag: t}
}

// referring returns what refers to the image of a tag by its digest, if no other tag leads to the
// image.
func (l *lister) referring(ctx context.Context, r *repository, t Tag) (found []With) {
	tags, err := r.list(ctx)
	if err != nil {
		return nil // some registries list no tags
	}
	for _, tag := range digestTags(t.Digest) {
		if !slices.Contains(tags, tag) {
			continue
		}
		if at, err := r.to.Head(ctx, tag); err == nil {
			found = append(found, With{Kind: Companion, Tag: tag, Digest: at})
		}
	}
	index := registry.Absent
	if slices.Contains(tags, registry.ReferrersTag(t.Digest)) {
		index = registry.Present
	}
	list, err := r.to.Referrers(ctx, t.Digest, registry.ReferrersQuery{Index: index})
	if err != nil {
		list = nil
	}
	for _, d := range list {
		if len(found) < maxWith/2 {
			found = append(found, With{Kind: Referrer, Digest: d.Digest})
		}
	}
	if len(found) == 0 || !r.alone(ctx, t, tags) {
		return nil
	}
	return slices.DeleteFunc(found, func(w With) bool { return w.Kind == Referrer && r.isTagged(ctx, w.Digest, found, tags) })
}

// repositories are the repositories of tags, which are opened once.
type repositories struct {
	client *registry.Client
	mu     sync.Mutex
	known  map[string]*repository
}

// A repository remembers what its registry has told.
type repository struct {
	to *registry.Repository

	mu    sync.Mutex
	tags  []string
	err   error
	asked bool
	at    map[string]manifest.Descriptor   // by tag; the zero Descriptor if it does not exist
	below map[string][]manifest.Descriptor // what manifests list, by their digest
}

// open returns the repository of an image.
func (l *repositories) open(ctx context.Context, image reference.Reference) (*repository, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name := image.Name()
	if r := l.known[name]; r != nil {
		return r, nil
	}
	to, err := l.client.Destination(ctx, image, true)
	if err != nil {
		return nil, err
	}
	l.known[name] = &repository{to: to, at: map[string]manifest.Descriptor{}, below: map[string][]manifest.Descriptor{}}
	return l.known[name], nil
}

// list returns the tags of the repository, which are asked for once.
func (r *repository) list(ctx context.Context) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.asked {
		r.tags, r.err = r.to.Tags(ctx)
		r.asked = true
	}
	return r.tags, r.err
}

// describe returns what a tag points at, or the zero Descriptor if it does not exist. Each is asked
// for once.
func (r *repository) describe(ctx context.Context, tag string) (manifest.Descriptor, error) {
	r.mu.Lock()
	at, known := r.at[tag]
	r.mu.Unlock()
	if known {
		return at, nil
	}
	at, err := r.to.Describe(ctx, tag)
	if regerror.StatusOf(err) == http.StatusNotFound {
		at, err = manifest.Descriptor{}, nil
	}
	if err == nil {
		r.mu.Lock()
		r.at[tag] = at
		r.mu.Unlock()
	}
	return at, err
}

// children returns the manifests that a manifest lists. Each is read once.
func (r *repository) children(ctx context.Context, digest string) ([]manifest.Descriptor, error) {
	r.mu.Lock()
	below, known := r.below[digest]
	r.mu.Unlock()
	if known {
		return below, nil
	}
	raw, err := r.to.Manifest(ctx, digest)
	if regerror.StatusOf(err) == http.StatusNotFound { // a sparse index lists what is not there
		raw, err = manifest.Raw{}, nil
	}
	var parsed manifest.Manifest
	if err == nil && raw.Digest != "" {
		parsed, err = manifest.Parse(raw.MediaType, raw.Content)
	}
	if err == nil {
		r.mu.Lock()
		r.below[digest] = parsed.Children
		r.mu.Unlock()
	}
	return parsed.Children, err
}

// alone reports whether the only tags that lead to the image are the tag itself and those that are
// deleted with it.
func (r *repository) alone(ctx context.Context, t Tag, tags []string) bool {
	mine := map[string]bool{}
	if image, err := reference.Parse(t.Tag); err == nil {
		mine[image.Tag] = true
	}
	for _, w := range t.With {
		mine[w.Tag] = true
	}
	return !r.leads(ctx, t.Digest, tags, mine)
}

// isTagged reports whether a tag leads to a manifest, other than those that are deleted.
func (r *repository) isTagged(ctx context.Context, digest string, with []With, tags []string) bool {
	mine := map[string]bool{}
	for _, w := range with {
		mine[w.Tag] = true
	}
	return r.leads(ctx, digest, tags, mine)
}

// leads reports whether one of the tags leads to a digest, itself or by way of an index, or may. It
// asks for each that is not in except.
func (r *repository) leads(ctx context.Context, digest string, tags []string, except map[string]bool) bool {
	if len(tags) > maxAsked {
		return true
	}
	without := map[string]bool{}
	for _, tag := range tags {
		if except[tag] {
			continue
		}
		if at, err := r.describe(ctx, tag); err != nil || r.has(ctx, at, digest, without, 0) {
			return true
		}
	}
	return false
}

// has reports whether a manifest is the one with a digest, or an index that lists it at some level,
// or may be. without has the indexes that are known not to: many may list the same ones.
func (r *repository) has(ctx context.Context, at manifest.Descriptor, digest string, without map[string]bool, depth int) bool {
	switch {
	case without[at.Digest]:
		return false
	case at.Digest == digest || depth > manifest.MaxDepth:
		return true
	case at.Digest == "" || manifest.IsManifest(at.MediaType) && !manifest.IsIndex(at.MediaType):
		return false
	}
	children, err := r.children(ctx, at.Digest)
	if err != nil || slices.ContainsFunc(children, func(d manifest.Descriptor) bool { return r.has(ctx, d, digest, without, depth+1) }) {
		return true
	}
	without[at.Digest] = true
	return false
}

// reason returns an error as one line for people.
func reason(err error) string {
	e := stream.ErrorOf(err)
	if e.Advice != "" {
		return text.Line(e.Message+": "+e.Advice, maxText)
	}
	return text.Line(e.Message, maxText)
}
