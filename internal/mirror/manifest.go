package mirror

import (
	"fmt"
	"net/http"
	"slices"

	"imagemirror/internal/fault"
	"imagemirror/internal/reference"
	"imagemirror/internal/regerror"
)

func (e *engine) queuePushLocked(m *wantedManifest) {
	m.repo.queue.addLocked(pushing, 0, func() { e.push(m) })
}

// push pushes a manifest under each tag that jobs want, or by its digest if no job wants a tag.
func (e *engine) push(m *wantedManifest) {
	tagged, untagged, needed := e.pushesOf(m)
	if !needed {
		return
	}
	if m.current {
		e.pushed(m, slices.Concat(tagged, untagged), nil, false)
		return
	}
	err := e.putAttached(m)
	if err != nil || len(tagged) == 0 {
		if !e.putExtra(m, untagged) && len(m.tags) == 0 {
			err = e.putManifest(m, m.digest)
		}
		e.pushed(m, untagged, err, false)
		return
	}
	// The first tag brings the manifest. From then on it is there by its digest too, for jobs
	// without a tag and for the indexes that lead to it.
	for i, j := range tagged {
		if i > 0 && e.isStopped() {
			return
		}
		err := e.putTag(m, j)
		done := []*jobState{j}
		if err == nil {
			done = append(done, untagged...)
		}
		e.pushed(m, done, err, true)
	}
}

// pushesOf returns the jobs that want a manifest with a tag and without, and whether anything needs
// it.
func (e *engine) pushesOf(m *wantedManifest) (tagged, untagged []*jobState, needed bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, j := range m.jobs {
		if j.ended {
			continue
		}
		j.beginLocked()
		if j.Destination.Tag != "" {
			tagged = append(tagged, j)
		} else {
			untagged = append(untagged, j)
		}
	}
	return tagged, untagged, len(tagged)+len(untagged) > 0 || m.neededLocked()
}

// putTag pushes a manifest under a job's tag, after what the tag points at is kept and the image
// has its additional tags: a copy that is killed in between does it all again.
func (e *engine) putTag(m *wantedManifest, j *jobState) error {
	if j.Immutable {
		if there, err := e.checkImmutable(m, j.Destination.Tag); there || err != nil {
			return err
		}
	}
	if err := e.keepOld(m, j); err != nil {
		return err
	}
	e.putExtra(m, []*jobState{j})
	return e.unlessThere(m.repo, j.Destination.Tag, m.digest, e.putManifest(m, j.Destination.Tag))
}

// unlessThere returns the error of a push under a tag, unless the tag points at the digest. A
// registry refuses to push an immutable tag even if the tag already points to the digest, as after
// an earlier run that was cut off.
func (e *engine) unlessThere(r *repo, tag, digest string, err error) error {
	if !refused(regerror.StatusOf(err)) {
		return err
	}
	if at, headErr := r.to.Head(e.work, tag); headErr == nil && at == digest {
		return nil
	}
	return err
}

// refused reports whether a status is a registry's refusal that neither a token nor time changes.
func refused(status int) bool {
	return status >= 400 && status < 500 && status != http.StatusUnauthorized && status != http.StatusTooManyRequests
}

// checkImmutable reports whether a tag that never moves points at the manifest already. A tag that
// did not exist when the run was planned may exist by now. The protocol has no push that succeeds
// only if the tag does not exist: a tag that somebody pushes between this HEAD and our PUT is
// overwritten.
func (e *engine) checkImmutable(m *wantedManifest, tag string) (there bool, err error) {
	at, err := m.repo.to.Head(e.work, tag)
	switch {
	case regerror.StatusOf(err) == http.StatusNotFound:
		return false, nil
	case err == nil && at != m.digest:
		return false, fault.New(fault.Fault{
			Kind: fault.Immutable, Side: reference.Destination, Host: m.repo.to.Registry(), Advice: "find out who else pushes to it, then run again",
		}, fmt.Sprintf("the tag %s is immutable and points at %s, which was pushed after the plan was made with %s: it is left as it is", tag, at, m.digest))
	}
	return err == nil, err
}

// pushed ends the jobs that a push was for, and releases the indexes that waited for the manifest.
// If the registry refused all tags, a manifest that is needed by its digest is pushed by that.
func (e *engine) pushed(m *wantedManifest, done []*jobState, err error, tagged bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err == nil {
		for _, j := range done {
			e.publishedLocked(j)
		}
		e.arrivedLocked(m)
		return
	}
	err = e.reasonLocked(err)
	for _, j := range done {
		e.endLocked(j, err)
	}
	switch {
	case m.there || m.tagLeftLocked():
	case tagged && m.neededLocked():
		e.queuePushLocked(m)
	default:
		e.failLocked(m, err)
	}
}

// tagLeftLocked reports whether a job without an outcome will push the manifest under another tag.
func (m *wantedManifest) tagLeftLocked() bool {
	for _, j := range m.jobs {
		if !j.ended && j.Destination.Tag != "" {
			return true
		}
	}
	return false
}

// arrivedLocked releases the indexes that lead to a manifest which the registry has now.
func (e *engine) arrivedLocked(m *wantedManifest) {
	if m.there {
		return
	}
	m.there = true
	for _, parent := range m.parents {
		e.releaseLocked(parent)
	}
	e.attachedLocked(m)
}

// releaseLocked counts one thing less that a manifest waits for, and queues it after the last one.
func (e *engine) releaseLocked(m *wantedManifest) {
	m.missing--
	if m.missing == 0 && m.err == nil {
		e.queuePushLocked(m)
	}
}

// failLocked ends every job that needs the manifest.
func (e *engine) failLocked(m *wantedManifest, err error) {
	if m.err != nil {
		return
	}
	m.err = err
	for _, j := range m.jobs {
		e.endLocked(j, err)
	}
	for _, parent := range m.parents {
		e.failLocked(parent, err)
	}
	e.attachedLocked(m)
}
