package mirror

import (
	"errors"
	"net/http"
	"slices"
	"sync"

	"imagemirror/internal/regerror"
)

// putOnce pushes a manifest, and again at once after blobs that it needs were sent. Registries name
// one that is missing, or all.
func (e *engine) putOnce(m *wantedManifest, identifier string) error {
	for {
		err := m.repo.to.PutManifest(e.work, identifier, e.content(m))
		sent, failed := e.sendMounted(m, err)
		switch {
		case failed != nil:
			return failed
		case !sent:
			return err
		}
	}
}

// sendMounted uploads the blobs of a manifest that its registry does not know although it answered
// their mounts with 201. err is the refusal of the manifest, which may name them. If it does not
// tell, the registry is asked. A blob is sent once; then the registry is waited for, as for all
// that was sent.
func (e *engine) sendMounted(m *wantedManifest, err error) (sent bool, failed error) {
	var refusal *regerror.Error
	_, unknown := regerror.UnknownContent(err)
	if !errors.As(err, &refusal) || refusal.Status == 0 {
		return false, nil
	}
	digests := refusal.Missing
	if !unknown && len(digests) == 0 && isVague(refusal) {
		digests = e.lackingMounted(m)
	}
	sinks := e.takeMounted(m, digests, unknown)
	var all sync.WaitGroup
	for _, s := range sinks {
		all.Go(func() { e.resend(s) })
	}
	all.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range sinks {
		if s.err != nil {
			return true, s.err
		}
		if owner := s.wanted.owner; !owner.ended {
			owner.Mounted -= s.wanted.blob.size
			owner.Bytes += s.wanted.blob.size
		}
	}
	return len(sinks) > 0, nil
}

// isVague reports whether the refusal of a manifest may be due to a missing blob. Quay answers
// MANIFEST_INVALID to that.
func isVague(refusal *regerror.Error) bool {
	switch refusal.Status {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusUnprocessableEntity, http.StatusInternalServerError:
		return slices.Contains([]string{"", "UNKNOWN", "MANIFEST_INVALID"}, refusal.Code)
	}
	return false
}

// lackingMounted returns the digests of the blobs that were mounted for a manifest, and that its
// registry does not have.
func (e *engine) lackingMounted(m *wantedManifest) (lacking []string) {
	for _, digest := range e.mounted(m) {
		if m.repo.to.LacksBlob(e.work, digest) {
			lacking = append(lacking, digest)
		}
	}
	return lacking
}

// mounted returns the digests of the blobs that were mounted for a manifest.
func (e *engine) mounted(m *wantedManifest) (digests []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, w := range m.repo.blobs {
		if w.mountedFrom != "" && slices.Contains(w.waiting, m) {
			digests = append(digests, id.digest)
		}
	}
	return digests
}

// takeMounted returns a sink for each blob that was mounted for a manifest: those with the digests
// or, if the registry says that it does not know something, and the digests are of nothing that the
// repository wants, all.
func (e *engine) takeMounted(m *wantedManifest, digests []string, unknown bool) []*sink {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := unknown && !slices.ContainsFunc(digests, func(d string) bool { return d != m.digest && m.repo.wantsLocked(d) })
	var sinks []*sink
	for id, w := range m.repo.blobs {
		if w.mountedFrom != "" && slices.Contains(w.waiting, m) && (all || slices.Contains(digests, id.digest)) {
			m.repo.to.DoubtMount(w.mountedFrom)
			w.mountedFrom = ""
			sinks = append(sinks, &sink{wanted: w})
		}
	}
	return sinks
}

// resend uploads a blob without asking for a mount.
func (e *engine) resend(s *sink) {
	s.turn = &turn{ctx: e.work, blob: s.wanted.blob} // it is not judged: a manifest waits for it
	s.up, s.err = e.beginUpload(s.turn.ctx, s.wanted.repo, s.wanted.blob.digest, "")
	if s.err == nil {
		e.send(s.wanted.blob, []*sink{s})
	}
}
