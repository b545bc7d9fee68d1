package prune

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"imagemirror/internal/regerror"
	"imagemirror/internal/registry"
	"imagemirror/internal/stream"
	"imagemirror/internal/text"
)

// atOnce bounds the tags that are asked for at once. The slots of their registry bound the
// requests.
const atOnce = 16

// Propose returns the Proposal of unwanted tags: those that are at a digest that a run of the set
// has pushed. It only reads.
func Propose(ctx context.Context, c *registry.Client, set string, found []UnwantedTag, left []Left, now time.Time) (*Proposal, error) {
	l := &lister{repositories: newRepositories(c), now: now}
	for _, candidate := range found {
		l.expect(candidate.Tag)
	}
	places := make(chan struct{}, atOnce)
	answers := make([]inspection, len(found))
	var all sync.WaitGroup
	for i, candidate := range found {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			defer l.done(candidate.Tag)
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

// referring returns what refers by a digest to the images of a tag and of those that are deleted
// with it, if no other tag leads to the image.
func (l *lister) referring(ctx context.Context, r *repository, t Tag) (found []With) {
	tags, err := r.list(ctx)
	if err != nil {
		return nil // some registries list no tags
	}
	for _, image := range t.images() {
		if of := referringTo(ctx, r, image, tags); len(of) > 0 && r.alone(ctx, image, t, tags) {
			found = append(found, of...)
		}
	}
	found = slices.DeleteFunc(found, func(w With) bool { return w.Kind == Referrer && r.isTagged(ctx, w.Digest, found, tags) })
	return found[:min(len(found), maxWith/2)]
}

// referringTo returns what refers to an image by its digest.
func referringTo(ctx context.Context, r *repository, image string, tags []string) (found []With) {
	for _, tag := range digestTags(image) {
		if !slices.Contains(tags, tag) {
			continue
		}
		if at, err := r.to.Head(ctx, tag); err == nil {
			found = append(found, With{Kind: Companion, Tag: tag, Digest: at})
		}
	}
	index := registry.Absent
	if slices.Contains(tags, registry.ReferrersTag(image)) {
		index = registry.Present
	}
	list, err := r.to.Referrers(ctx, image, registry.ReferrersQuery{Index: index})
	if err != nil {
		list = nil
	}
	for _, d := range list[:min(len(list), maxWith/2)] {
		found = append(found, With{Kind: Referrer, Digest: d.Digest})
	}
	return found
}

// reason returns an error as one line for people.
func reason(err error) string {
	e := stream.ErrorOf(err)
	if e.Advice != "" {
		return text.Line(e.Message+": "+e.Advice, maxText)
	}
	return text.Line(e.Message, maxText)
}
