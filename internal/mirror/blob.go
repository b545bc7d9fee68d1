package mirror

import (
	"context"
	"errors"
	"sync"

	"imagemirror/internal/reference"
	"imagemirror/internal/regerror"
	"imagemirror/internal/registry"
)

// queueUploadLocked queues a blob's upload. It is one task for all registries in at, so that the
// blob is read once.
func (e *engine) queueUploadLocked(bl *blob, at []*registryBlob) {
	if len(at) > 0 {
		at[0].queue.addLocked(uploading, bl.size, func() { e.upload(bl, at) })
	}
}

// A sink is a repository that receives a blob.
type sink struct {
	wanted  *wantedBlob
	at      *registryBlob
	ctx     context.Context  // of send: the blob's transfer is told what it waits for
	up      *registry.Upload // nil if the blob was mounted, or could not be opened
	from    string           // path that the last mount was asked from
	mounted bool
	err     error
}

// upload brings a blob to the leading repository on each registry, and queues the mounts into the
// others.
func (e *engine) upload(bl *blob, at []*registryBlob) {
	sinks := e.leaders(at)
	var opened sync.WaitGroup
	for _, s := range sinks {
		opened.Go(func() { e.open(e.work, s, s.at.from) })
	}
	opened.Wait()
	var sending []*sink
	for _, s := range sinks {
		if s.up != nil {
			sending = append(sending, s)
		}
	}
	e.send(bl, sending)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range sinks {
		e.uploadedLocked(s)
	}
}

// leaders chooses, on each registry, the first repository that still needs the blob.
func (e *engine) leaders(at []*registryBlob) []*sink {
	e.mu.Lock()
	defer e.mu.Unlock()
	var sinks []*sink
	for _, a := range at {
		for a.leader < len(a.wanted) && !a.wanted[a.leader].neededLocked() {
			a.leader++
		}
		if a.leader < len(a.wanted) {
			w := a.wanted[a.leader]
			w.owner.beginLocked()
			sinks = append(sinks, &sink{wanted: w, at: a})
		}
	}
	return sinks
}

// open begins an upload that first asks for a mount: from the repository at path from, or from the
// destination repository itself if from is empty. An earlier image, or a run that was cut off, may
// have left the blob there. Asking costs nothing, since a registry that does not find the blob
// opens an upload.
func (e *engine) open(ctx context.Context, s *sink, from string) {
	if from == "" {
		from = s.wanted.repo.to.Path()
	}
	s.from = from
	s.up, s.err = e.beginUpload(ctx, s.wanted.repo, s.wanted.blob.digest, from)
	s.mounted = s.up == nil && s.err == nil
}

// uploadedLocked handles the success or failure of a leading repository: it queues the mounts into
// the others, or the next upload, or fails the others too.
func (e *engine) uploadedLocked(s *sink) {
	e.settleLocked(s)
	if s.mounted {
		e.Observer.Mounted(s.wanted.blob.size)
	}
	at := s.at
	rest := at.wanted[at.leader+1:]
	if s.err == nil {
		from := s.wanted.repo.to.Path()
		for _, w := range rest {
			at.queue.addLocked(mounting, w.blob.size, func() { e.mount(w, at, from) })
		}
		return
	}
	if failsEverywhere(s.err) {
		for _, w := range rest {
			e.settleLocked(&sink{wanted: w, at: at, err: s.err})
		}
		return
	}
	at.leader++
	if at.leader < len(at.wanted) {
		e.queueUploadLocked(at.blob, []*registryBlob{at})
	}
}

// failsEverywhere reports whether an error in one repository will occur in all others on its
// registry too: it is the source's fault, or the run's end. What a registry refuses to one
// repository it may do for another, and each image has to get an error of its own.
func failsEverywhere(err error) bool {
	var r *regerror.Error
	return !errors.As(err, &r) || r.Side == reference.Source
}

// mount brings a blob to a repository from another one on the registry, or uploads it if the
// registry does not mount.
func (e *engine) mount(w *wantedBlob, at *registryBlob, from string) {
	e.mu.Lock()
	needed := w.neededLocked()
	if needed {
		w.owner.beginLocked()
	}
	e.mu.Unlock()
	if !needed {
		return
	}
	s := &sink{wanted: w, at: at}
	e.open(e.work, s, from)
	if s.up != nil {
		e.send(w.blob, []*sink{s})
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settleLocked(s)
}

// settleLocked passes a sink's result on to the manifests that wait for the blob: it releases or
// fails them.
func (e *engine) settleLocked(s *sink) {
	w := s.wanted
	w.settled = true
	if s.err != nil {
		err := e.reasonLocked(s.err)
		for _, m := range w.waiting {
			e.failLocked(m, err)
		}
		return
	}
	if s.mounted {
		w.mountedFrom = s.from
		w.owner.Mounted += w.blob.size
	} else {
		w.owner.Bytes += w.blob.size
	}
	for _, m := range w.waiting {
		e.releaseLocked(m)
	}
}
