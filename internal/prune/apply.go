package prune

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"imagemirror/internal/manifest"
	"imagemirror/internal/record"
	"imagemirror/internal/reference"
	"imagemirror/internal/regerror"
	"imagemirror/internal/registry"
)

// A Deletion is the result of deleting one tag of a Proposal.
type Deletion struct {
	Tag     Tag
	Deleted bool   // now
	Gone    bool   // it is not there: it was deleted now, or before
	Why     string // why it is left, or ""
	With    []With // what was deleted with it
	Left    []Left // what was to be deleted with it, and is left
}

// Failed reports whether something could not be deleted that should have been.
func (o *Deletion) Failed() bool { return o.Why != "" || len(o.Left) > 0 }

// An Application carries out a Proposal.
type Application struct {
	Client *registry.Client
	// Refuse returns why a tag must not be deleted although the file lists it, or "". It may be nil.
	Refuse func(name, digest string) string
	Record *record.Record // of the set, which a tag has to be in; nil if it is not known
	Done   func(Deletion) // told of each outcome; may be nil
}

// Apply deletes the tags that a file lists, until it has deleted f.Most of them, and returns a
// Deletion for each tag that it tried. It leaves a tag whose digest differs from the one in the
// file. Once a tag is gone, it deletes what goes with the tag, even if an earlier Apply that was
// killed deleted the tag.
func (a *Application) Apply(ctx context.Context, f *Proposal) []Deletion {
	e := &eraser{Application: a, repositories: newRepositories(a.Client), undeletable: map[string]string{}, used: a.used()}
	for _, t := range f.Tags {
		if image, err := reference.Parse(t.Tag); err == nil {
			e.expect(image)
		}
	}
	var all []Deletion
	deleted := 0
	for _, t := range f.Tags {
		if ctx.Err() != nil || deleted == f.Most {
			break
		}
		o := e.erase(ctx, t)
		if o.Deleted {
			deleted++
		}
		if a.Done != nil {
			a.Done(o)
		}
		all = append(all, o)
	}
	return all
}

// CheckAge refuses a file that is too old, or from the future.
func (f *Proposal) CheckAge(now time.Time) error {
	if age := now.Sub(f.Created); age > MaxAge || age < -time.Hour {
		return fmt.Errorf("the file was made at %s, and at most %d days may pass until it is applied: make it again", f.Created.UTC().Format(time.RFC3339), int(MaxAge.Hours()/24))
	}
	return nil
}

// An eraser deletes tags.
type eraser struct {
	*Application
	repositories
	undeletable map[string]string // by registry: why it deletes no tags
	used        map[string]bool   // by the record, what mappings name, and what goes with that
}

// erase deletes a tag, then what goes with it.
func (e *eraser) erase(ctx context.Context, t Tag) Deletion {
	o := Deletion{Tag: t}
	image, err := reference.Parse(t.Tag) // as Read has done
	if err != nil {
		o.Why = reason(err)
		return o
	}
	defer e.done(image)
	r, err := e.open(ctx, image)
	if err != nil {
		o.Why = reason(err)
		return o
	}
	if o.Deleted, o.Gone, o.Why = e.tag(ctx, r, image, t, t.Digest); !o.Gone {
		return o
	}
	for _, w := range t.With {
		deleted, why := e.with(ctx, r, image, t, w)
		if deleted {
			o.With = append(o.With, w)
		}
		if why != "" {
			o.Left = append(o.Left, Left{Tag: w.name(image), Why: why})
		}
	}
	return o
}

// name returns the name of what goes with a tag of a repository.
func (w With) name(image reference.Reference) string {
	if w.Tag == "" {
		return image.WithDigest(w.Digest).String()
	}
	return image.WithTag(w.Tag).String()
}

// tag deletes t, or a tag that goes with it, if it is at the digest. It reports whether the tag is
// not there then.
func (e *eraser) tag(ctx context.Context, r *repository, image reference.Reference, t Tag, digest string) (deleted, gone bool, why string) {
	if why := e.refuse(image.String(), digest); why != "" {
		return false, false, why
	}
	at, err := r.to.Head(ctx, image.Tag)
	switch {
	case regerror.StatusOf(err) == http.StatusNotFound:
		return false, true, ""
	case err != nil:
		return false, false, reason(err)
	case at != digest:
		return false, false, fmt.Sprintf("it is at %s now: somebody has pushed it since", at)
	}
	if why := e.foreign(t, image); why != "" {
		return false, false, why
	}
	why = e.delete(ctx, r, image.Tag)
	return why == "", why == "", why
}

func (e *eraser) refuse(name, digest string) string {
	if e.Refuse == nil {
		return ""
	}
	return e.Refuse(name, digest)
}

// delete deletes a tag, or the manifest with a digest, and returns why it could not.
func (e *eraser) delete(ctx context.Context, r *repository, identifier string) (why string) {
	at := r.to.Registry()
	if why := e.undeletable[at]; why != "" {
		return why
	}
	err := r.to.Delete(ctx, identifier)
	switch {
	case err == nil || regerror.StatusOf(err) == http.StatusNotFound && !registry.IsUndeletable(err):
		r.forget(identifier)
		return ""
	case registry.IsUndeletable(err):
		e.undeletable[at] = fmt.Sprintf("%s deletes no tags: delete them by its own means, or allow it (%v)", at, err)
		return e.undeletable[at]
	}
	return reason(err)
}

// with deletes what goes with a tag, if nothing else needs it.
func (e *eraser) with(ctx context.Context, r *repository, image reference.Reference, t Tag, w With) (deleted bool, why string) {
	if w.Kind == Additional || w.Kind == Kept {
		deleted, _, why = e.tag(ctx, r, image.WithTag(w.Tag), t, w.Digest)
		return deleted, why
	}
	tags, err := r.list(ctx)
	if err != nil {
		return false, reason(err)
	}
	if w.Kind == Companion {
		if r.leads(ctx, t.imageOf(w.Tag), tags, nil) {
			return false, inUse
		}
		deleted, _, why = e.tag(ctx, r, image.WithTag(w.Tag), t, w.Digest)
		return deleted, why
	}
	return e.referrer(ctx, r, image.WithDigest(w.Digest), t, tags)
}

const inUse = "a tag leads to the image that it is for"

// referrer deletes a manifest by its digest, if it refers to an image of t and nothing else needs
// it.
func (e *eraser) referrer(ctx context.Context, r *repository, image reference.Reference, t Tag, tags []string) (deleted bool, why string) {
	if why := e.refuse(image.String(), image.Digest); why != "" {
		return false, why
	}
	if r.leads(ctx, image.Digest, tags, nil) {
		return false, "a tag leads to it"
	}
	raw, err := r.to.Manifest(ctx, image.Digest)
	if regerror.StatusOf(err) == http.StatusNotFound {
		return false, ""
	}
	if err != nil {
		return false, reason(err)
	}
	switch parsed, _ := manifest.Parse(raw.MediaType, raw.Content); {
	case !slices.Contains(t.images(), parsed.Subject): // people edit files
		return false, "it does not refer to the image"
	case r.leads(ctx, parsed.Subject, tags, nil):
		return false, inUse
	}
	why = e.delete(ctx, r, image.Digest)
	return why == "", why
}
