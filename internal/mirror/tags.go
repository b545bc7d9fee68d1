package mirror

import (
	"errors"
	"fmt"
	"net/http"

	"imagemirror/internal/fault"
	"imagemirror/internal/manifest"
	"imagemirror/internal/reference"
	"imagemirror/internal/regerror"
)

// An ExtraTag is an additional tag of an image.
type ExtraTag struct {
	Tag       string
	Immutable bool  // it must not move if it exists
	Err       error // why the image cannot have it, if that is known; then Tag may be ""
}

// keepOld pushes what a job's tag points at under another tag, unless the tag is new. If that
// fails, the tag must not move: the old image would be lost.
func (e *engine) keepOld(m *wantedManifest, j *jobState) error {
	if j.Keep == nil || j.Old == "" || j.Old == m.digest {
		return nil
	}
	if err := e.keepAs(m.repo, j.Keep, j.Old); err != nil {
		return fmt.Errorf("keeping %s of %s as %s, so the tag %s did not move: %w", j.Old, m.repo.to.Name(), j.Keep.Tag, j.Destination.Tag, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	j.Kept = j.Keep.Tag
	return nil
}

// keepAs pushes a manifest of a repository under a tag.
func (e *engine) keepAs(r *repo, keep *ExtraTag, old string) error {
	if there, err := e.isAt(r, keep, old); there || err != nil {
		return err
	}
	var put error
	err := r.to.UseManifest(e.work, old, func(raw manifest.Raw) { put = r.to.PutManifest(e.work, keep.Tag, raw) })
	if regerror.StatusOf(err) == http.StatusNotFound {
		return fault.New(fault.Fault{
			Kind: fault.Missing, Side: reference.Destination, Host: r.to.Registry(), Status: http.StatusNotFound,
			Advice: "run again if somebody else pushed the tag; if the registry deleted the image, delete the tag too, or remove spec.keep",
		}, "the registry does not have it any more")
	}
	if err != nil {
		return err
	}
	return e.unlessThere(r, keep.Tag, old, put)
}

// isAt reports whether an immutable tag points at a digest. It fails if it points at another one.
func (e *engine) isAt(r *repo, t *ExtraTag, digest string) (bool, error) {
	if !t.Immutable {
		return false, nil
	}
	at, err := r.to.Head(e.work, t.Tag)
	switch {
	case regerror.StatusOf(err) == http.StatusNotFound:
		return false, nil
	case err == nil && at != digest:
		return false, fault.New(fault.Fault{
			Kind: fault.Immutable, Side: reference.Destination, Host: r.to.Registry(),
			Advice: "add {digest:12} to the template, or remove the tag from spec.immutable in the set's settings.yaml",
		}, fmt.Sprintf("the tag %s is immutable and points at %s: it is left as it is", t.Tag, at))
	}
	return err == nil, err
}

// putExtra pushes a manifest under the additional tags of jobs, each once, and reports whether the
// registry accepted one: then it has the manifest. An image is published even if an additional tag
// is not. After any error other than a refusal, the others are not tried: they would wait as long.
func (e *engine) putExtra(m *wantedManifest, jobs []*jobState) (accepted bool) {
	for _, j := range jobs {
		var down error
		tagged := make([]ExtraTag, 0, len(j.Tags))
		for _, t := range j.Tags {
			err, known := m.extra[t.Tag]
			switch {
			case t.Err != nil:
				err = t.Err
			case known:
			case down != nil:
				err = down
			default:
				err = e.putAs(m, &t)
				m.noteExtra(t.Tag, err)
				if errors.As(err, new(*regerror.Error)) && !refused(regerror.StatusOf(err)) {
					down = err
				}
			}
			accepted = accepted || err == nil
			tagged = append(tagged, ExtraTag{Tag: t.Tag, Err: err})
		}
		e.mu.Lock()
		j.Tagged = tagged
		e.mu.Unlock()
	}
	return accepted
}

// noteExtra notes what came of a push. Only one task at a time pushes a manifest.
func (m *wantedManifest) noteExtra(tag string, err error) {
	if m.extra == nil {
		m.extra = map[string]error{}
	}
	m.extra[tag] = err
}

// putAs pushes a manifest under an additional tag.
func (e *engine) putAs(m *wantedManifest, t *ExtraTag) error {
	if there, err := e.isAt(m.repo, t, m.digest); there || err != nil {
		return err
	}
	return e.unlessThere(m.repo, t.Tag, m.digest, e.putManifest(m, t.Tag))
}
