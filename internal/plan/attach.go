package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"

	"imagemirror/internal/fault"
	"imagemirror/internal/manifest"
	"imagemirror/internal/reference"
	"imagemirror/internal/registry"
	"imagemirror/internal/settings"
	"imagemirror/internal/stream"
	"imagemirror/internal/text"
)

// maxReferrerDepth bounds how far referrers of referrers travel: a signature of an attestation of
// an image is at depth 2.
const maxReferrerDepth = 3

// maxKind bounds the artifact type of an attachment, in bytes.
const maxKind = 100

// attach finds what travels with an image to the targets that it is copied to.
func (r *resolver) attach(ctx context.Context, from *registry.Repository, targets []*target) {
	for i, t := range targets {
		if t.referrers.Copy == settings.CopyNone || t.err != nil {
			continue
		}
		t.sought = true
		same := slices.IndexFunc(targets[:i], func(o *target) bool {
			return reflect.DeepEqual(o.referrers, t.referrers) && o.view() == t.view()
		})
		if same >= 0 {
			t.attached, t.err = targets[same].attached, cmp.Or(t.err, targets[same].err)
			continue
		}
		f := r.newFinder(ctx, from, t.referrers, setsOf(targets))
		var err error
		if t.attached, err = f.travelling(f.each(ctx, r.trees.subjects(t))); err != nil {
			t.err = cmp.Or(t.err, err)
		}
	}
}

// A finder finds what travels with one image.
type finder struct {
	*resolver
	settings.Referrers
	from *registry.Repository
	to   *registry.Repository // set if what it has already does not travel again
	sets []string             // that the image is for
	tags *companions

	mu   sync.Mutex
	seen map[string]bool // subjects that were asked for
	left int             // attachments that may still be found
	err  error           // of one that is required
}

// A finding is something that travels with an image, or would if it were not at the destination.
type finding struct {
	stream.Attachment
	there bool
}

func (r *resolver) newFinder(ctx context.Context, from *registry.Repository, what settings.Referrers, sets []string) *finder {
	return &finder{
		resolver: r, Referrers: what, from: from, sets: sets, tags: r.companionsOf(ctx, from),
		seen: map[string]bool{}, left: stream.MaxAttached,
	}
}

// each returns what refers to manifests, in their order.
func (f *finder) each(ctx context.Context, subjects []string) []finding {
	found := make([][]finding, len(subjects))
	var all sync.WaitGroup
	places := make(chan struct{}, childrenAtOnce)
	for i, subject := range subjects {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			found[i] = f.find(ctx, subject, 0)
		})
	}
	all.Wait()
	return slices.Concat(found...)
}

// travelling returns what travels with the image, or why the image must not be published without
// it.
func (f *finder) travelling(found []finding) (attached []stream.Attachment, err error) {
	for _, a := range found {
		if !a.there {
			attached = append(attached, a.Attachment)
		}
	}
	return attached, f.err
}

// find returns what refers to a manifest, and to that. Each subject is asked for once.
func (f *finder) find(ctx context.Context, subject string, depth int) []finding {
	if depth > maxReferrerDepth || !f.visit(subject) {
		return nil
	}
	return f.descend(ctx, slices.Concat(f.tagged(ctx, subject), f.referring(ctx, subject)), depth)
}

// descend adds what refers to findings.
func (f *finder) descend(ctx context.Context, found []finding, depth int) []finding {
	all := found
	for _, a := range found {
		if a.Error == nil {
			all = append(all, f.find(ctx, a.Digest, depth+1)...)
		}
	}
	return all
}

// referring returns the referrers of a manifest.
func (f *finder) referring(ctx context.Context, subject string) (found []finding) {
	query := registry.ReferrersQuery{Type: f.filter(), Index: f.tags.presence(registry.ReferrersTag(subject))}
	list, err := f.listReferrers(ctx, f.from, subject, query)
	var there []registry.Referrer
	if err == nil && f.to != nil && len(list) > 0 {
		there, err = f.listReferrers(ctx, f.to, subject, registry.ReferrersQuery{Type: f.filter()})
	}
	if err != nil {
		return f.failed("referrers", "", err)
	}
	for _, d := range list {
		isThere := slices.ContainsFunc(there, func(o registry.Referrer) bool { return o.Digest == d.Digest })
		switch {
		case isThere:
			found = append(found, f.one(finding{stream.Attachment{Digest: d.Digest}, true})...)
		case saysNothing(d.ArtifactType) || f.wants(d.ArtifactType):
			found = append(found, f.referrer(ctx, subject, d)...)
		}
	}
	return found
}

// saysNothing reports whether the type that a registry lists for a referrer may be that of its
// config, which go-containerregistry's registry lists instead: the manifest has to tell.
func saysNothing(artifactType string) bool {
	switch artifactType {
	case "", "application/vnd.oci.empty.v1+json", "application/vnd.oci.image.config.v1+json":
		return true
	}
	return false
}

// visit reports whether a subject is to be asked for.
func (f *finder) visit(subject string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	again := f.seen[subject]
	f.seen[subject] = true
	return !again && f.err == nil && f.left > 0
}

// wants reports whether attachments of a kind are to be copied.
func (f *finder) wants(kind string) bool { return len(f.Types) == 0 || slices.Contains(f.Types, kind) }

// filter returns the only artifact type that is to be copied, or "".
func (f *finder) filter() string {
	isTag := slices.ContainsFunc(cosignKinds, func(c cosignKind) bool { return slices.Contains(f.Types, c.kind) })
	if len(f.Types) != 1 || isTag {
		return ""
	}
	return f.Types[0]
}

// tagged returns what is under cosign's tags for a manifest.
func (f *finder) tagged(ctx context.Context, subject string) (found []finding) {
	for _, c := range cosignKinds {
		if f.wants(c.kind) {
			found = append(found, f.under(ctx, c.kind, registry.ReferrersTag(subject)+c.suffix)...)
		}
	}
	return found
}

// under returns what is under one of cosign's tags.
func (f *finder) under(ctx context.Context, kind, tag string) []finding {
	at := ""
	if f.to != nil && f.tags.presence(tag) != registry.Absent {
		var err error
		if at, err = f.headTag(ctx, f.to, tag); err != nil {
			return f.failed(kind, "", err)
		}
	}
	if at != "" && f.tags.presence(tag) == registry.Present {
		if digest, err := f.headTag(ctx, f.from, tag); err == nil && digest == at {
			return f.one(finding{stream.Attachment{Digest: digest}, true})
		}
	}
	im := f.trees.image(f.from, f.sets)
	known := &archived{}
	digest := ""
	there, err := f.tags.use(ctx, f.from, tag, func(m manifest.Raw) { digest, known.err = m.Digest, im.keep(m) })
	if there {
		err = im.all(ctx, digest, known)
	}
	switch {
	case err != nil:
		return f.failed(kind, digest, err)
	case !there:
		return nil
	case digest == at:
		return f.one(finding{stream.Attachment{Digest: digest}, true})
	}
	return f.one(finding{Attachment: stream.Attachment{Kind: kind, Digest: digest, Tag: tag, Required: f.Required}})
}

// referrer returns a manifest that a registry lists as one that refers to another.
func (f *finder) referrer(ctx context.Context, subject string, d registry.Referrer) []finding {
	im := f.trees.image(f.from, f.sets)
	known := &archived{}
	var parsed manifest.Manifest
	err := f.from.UseManifest(ctx, d.Digest, func(m manifest.Raw) { parsed, known.err = im.keepParsed(m) })
	if !saysNothing(d.ArtifactType) || parsed.Artifact == "" {
		parsed.Artifact = d.ArtifactType
	}
	kind := cmp.Or(text.Line(parsed.Artifact, maxKind), "referrer")
	switch {
	case err == nil && known.err == nil && parsed.Subject != subject:
		err = fault.New(fault.Fault{
			Kind: fault.Image, Side: reference.Source, Host: f.from.Registry(),
			Advice: "ask the registry's operators, or push the referrer again",
		}, fmt.Sprintf("the registry lists %s as a referrer of %s, but it refers to %.80q", d.Digest, subject, parsed.Subject))
	case err == nil && !f.wants(parsed.Artifact):
		return nil
	case err == nil:
		err = im.all(ctx, d.Digest, known)
	}
	if err != nil {
		return f.failed(kind, d.Digest, explainReferrer(err, d.Digest, subject))
	}
	return f.one(finding{Attachment: stream.Attachment{Kind: kind, Digest: d.Digest, Subject: subject, Required: f.Required}})
}

// one returns a finding, unless the image has too many.
func (f *finder) one(a finding) []finding {
	f.mu.Lock()
	f.left--
	left := f.left
	f.mu.Unlock()
	if left > 0 {
		return []finding{a}
	}
	tooMany := fault.New(fault.Fault{
		Kind: fault.TooLarge, Side: reference.Source, Host: f.from.Registry(),
		Advice: "choose some with spec.referrers.types in the set's settings.yaml",
	}, fmt.Sprintf("more than %d manifests travel with the image", stream.MaxAttached-1))
	if left < 0 || f.fails(tooMany) {
		return nil
	}
	return []finding{{Attachment: failedAttachment("referrers", "", tooMany)}}
}

// failed returns the attachment that stands for something which cannot be copied. If it is
// required, the image is not copied either.
func (f *finder) failed(kind, digest string, err error) []finding {
	if f.fails(err) {
		return nil
	}
	return f.one(finding{Attachment: failedAttachment(kind, digest, err)})
}

// fails reports whether the image fails because something that travels with it does.
func (f *finder) fails(err error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := new(registry.OutOfPullsError) // a later run has pulls for it
	fails := f.Required || errors.As(err, &out)
	if fails {
		f.err = cmp.Or(f.err, err)
	}
	return fails
}

// maxReason bounds the error of an attachment, in characters: a line of the plan has those of all
// attachments of an image.
const maxReason = 500

func failedAttachment(kind, digest string, err error) stream.Attachment {
	e := stream.ErrorOf(err)
	e.Message, e.Advice = text.Clip(e.Message, maxReason), text.Clip(e.Advice, maxReason)
	return stream.Attachment{Kind: kind, Digest: digest, Error: e}
}
