package mirror

import (
	"cmp"
	"fmt"
	"slices"

	"imagemirror/internal/fault"
	"imagemirror/internal/manifest"
	"imagemirror/internal/reference"
)

// An Attachment is a manifest that travels with an image, such as a signature. It is at the
// destination before the image's tag moves there.
type Attachment struct {
	Kind     string // for people
	Digest   string
	Tag      string // that it gets; "" if it is pushed by its digest
	Subject  string // digest of the manifest that it refers to; "" if its tag says so
	Required bool   // the image's tag stays as it is if the attachment cannot be copied
	Err      error  // why it cannot be copied, if that is known
}

// An attached is an attachment of a job in the graph.
type attached struct {
	Attachment
	manifest *wantedManifest // nil if it cannot be copied
	list     *referrersList  // nil if it has no subject
	err      error           // why manifest is nil
}

// A follower is an image that waits for an attachment.
type follower struct {
	image, attachment *wantedManifest
	required          bool
}

// A referrersList is the index that lists the referrers of one manifest in a repository. Only a
// registry without the referrers API needs it to be written, once all of them are there.
type referrersList struct {
	repo      *repo
	subject   string
	missing   int // referrers that have not arrived or failed
	referrers []*wantedManifest
	followers []follower
	err       error
}

// attach adds what travels with a job's image to the graph, after all images. It fails if something
// that is required cannot be copied.
func (b *builder) attach(j *jobState) error {
	if j.ended {
		return nil
	}
	for _, a := range j.Attached {
		at := attached{Attachment: a, err: a.Err}
		if at.err == nil {
			at.manifest, at.err = b.attachment(j, a)
		}
		if at.err != nil && a.Required {
			return at.err
		}
		if at.err == nil {
			at.list = b.follow(j.manifest, at)
		}
		j.attached = append(j.attached, at)
	}
	return nil
}

// attachment adds the manifest of an attachment, and everything it leads to. It refuses one that
// waits for the image: each would wait for the other.
func (b *builder) attachment(j *jobState, a Attachment) (*wantedManifest, error) {
	r, source := j.manifest.repo, b.sources[j.Source.Name()]
	b.sizes = map[string]int64{}
	m, err := b.manifest(j, r, source, a.Digest, 0)
	if err != nil {
		return nil, err
	}
	if m.waitsFor(j.manifest, map[*wantedManifest]bool{}) {
		return nil, fault.New(fault.Fault{Kind: fault.Image, Side: reference.Source, Host: source.Registry(), Advice: "remove it from the source"},
			fmt.Sprintf("the %s %s of %s leads back to the image that it is for", a.Kind, a.Digest, source.Name()))
	}
	return m, nil
}

// waitsFor reports whether the manifest is another one, or is pushed after it. A manifest that was
// there before the run counts as well. seen has the manifests that were looked at.
func (m *wantedManifest) waitsFor(other *wantedManifest, seen map[*wantedManifest]bool) bool {
	if m == other || m.digest == other.digest {
		return true
	}
	if seen[m] {
		return false
	}
	seen[m] = true
	waits := func(below *wantedManifest) bool { return below.waitsFor(other, seen) }
	return slices.ContainsFunc(m.children, waits) || slices.ContainsFunc(m.attached, waits)
}

// hasTag reports whether a job pushes the manifest under a tag.
func (m *wantedManifest) hasTag(tag string) bool {
	return slices.ContainsFunc(m.jobs, func(j *jobState) bool { return !j.ended && j.Destination.Tag == tag })
}

// follow makes an image wait for an attachment, and returns the list that the attachment will be
// in.
func (b *builder) follow(image *wantedManifest, a attached) *referrersList {
	if a.Tag != "" && !slices.Contains(a.manifest.tags, a.Tag) && !a.manifest.hasTag(a.Tag) {
		a.manifest.tags = append(a.manifest.tags, a.Tag)
	}
	if !slices.Contains(image.attached, a.manifest) {
		image.attached = append(image.attached, a.manifest)
		if image.needs > 0 {
			a.manifest.needLocked()
		}
	}
	if a.Subject == "" {
		a.manifest.followers = append(a.manifest.followers, follower{image, a.manifest, a.Required})
		image.missing++
		return nil
	}
	r := image.repo
	l := r.lists[a.Subject]
	if l == nil {
		l = &referrersList{repo: r, subject: a.Subject}
		r.lists[a.Subject] = l
	}
	if !slices.Contains(l.referrers, a.manifest) {
		l.referrers = append(l.referrers, a.manifest)
		l.missing++
		a.manifest.lists = append(a.manifest.lists, l)
	}
	l.followers = append(l.followers, follower{image, a.manifest, a.Required})
	image.missing++
	return l
}

// putAttached pushes a manifest under the tags that it has as an attachment.
func (e *engine) putAttached(m *wantedManifest) error {
	for _, tag := range m.tags {
		if err := e.putManifest(m, tag); err != nil {
			return err
		}
	}
	return nil
}

// attachedLocked tells those who wait for an attachment that it has arrived or failed.
func (e *engine) attachedLocked(m *wantedManifest) {
	for _, f := range m.followers {
		e.followedLocked(f, nil)
	}
	for _, l := range m.lists {
		l.missing--
		if l.missing == 0 {
			l.repo.queue.addLocked(pushing, 0, func() { e.list(l) })
		}
	}
}

// followedLocked counts one attachment less that an image waits for. An image fails without one
// that is required, and with err if its list could not be written.
func (e *engine) followedLocked(f follower, err error) {
	if err = cmp.Or(f.attachment.err, err); err != nil && f.required {
		e.failLocked(f.image, err)
		return
	}
	e.releaseLocked(f.image)
}

// list writes the list of a subject's referrers, if its registry needs that, and releases the
// images that wait for it.
func (e *engine) list(l *referrersList) {
	var err error
	arrived := e.arrivedReferrers(l)
	if len(arrived) > 0 && !l.repo.to.ListsReferrers() {
		err = l.repo.to.AddReferrers(e.work, l.subject, arrived)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	l.err = e.reasonLocked(err)
	for _, f := range l.followers {
		e.followedLocked(f, l.err)
	}
}

// arrivedReferrers returns the referrers of a list that the registry has now.
func (e *engine) arrivedReferrers(l *referrersList) []manifest.Raw {
	e.mu.Lock()
	defer e.mu.Unlock()
	var arrived []manifest.Raw
	for _, m := range l.referrers {
		if m.there {
			arrived = append(arrived, e.content(m))
		}
	}
	return arrived
}

// travelledLocked returns what became of the job's attachments.
func (j *jobState) travelledLocked() []Attachment {
	var all []Attachment
	for _, a := range j.attached {
		o := a.Attachment
		o.Err = a.err
		if a.manifest != nil {
			o.Err = a.manifest.err
		}
		if a.list != nil && o.Err == nil {
			o.Err = a.list.err
		}
		all = append(all, o)
	}
	return all
}
