package mirror

import (
	"context"
	"errors"
	"slices"
	"sync"

	"imagemirror/internal/reference"
	"imagemirror/internal/regerror"
	"imagemirror/internal/registry"
)

// queueUploadLocked queues a blob's upload. It is one task for all registries in at, so that the
// blob is read once.
func (e *engine) queueUploadLocked(bl *blob, at []*registryBlob) {
	if len(at) > 0 {
		gates := slices.ContainsFunc(at, func(a *registryBlob) bool { return len(a.wanted) > a.leader+1 })
		at[0].queue.addUploadLocked(bl.registry(), bl.size, gates, func() { e.upload(bl, at, 0) })
	}
}

// A sink is a repository that receives a blob.
type sink struct {
	wanted  *wantedBlob
	at      *registryBlob // nil if it is sent again
	turn    *turn
	ctx     context.Context  // of send: the blob's transfer is told what it waits for
	up      *registry.Upload // nil if the blob was mounted, or could not be opened
	from    string           // path that the last mount was asked from
	mounted bool
	lead    bool // others on its registry wait for it
	done    bool // its outcome was passed on
	err     error
}

// upload brings a blob to the leading repository on each registry, and queues the mounts into the
// others. A transfer that yields is queued again, for the slow lane.
func (e *engine) upload(bl *blob, at []*registryBlob, round int) {
	t := e.beginTurn(bl, at[0].queue, round)
	sinks := e.leaders(at, t)
	e.openAll(sinks)
	var sending []*sink
	for _, s := range sinks {
		if s.up != nil {
			sending = append(sending, s)
		}
	}
	e.send(bl, sending)
	e.mu.Lock()
	defer e.mu.Unlock()
	yielded := e.endTurnLocked(t)
	for _, s := range sinks {
		switch {
		case s.done:
		case s.err != nil && yielded:
			s.at.queue.addSlowLocked(bl.registry(), func() { e.upload(bl, []*registryBlob{s.at}, t.round+1) })
		case errors.Is(s.err, errYielded): // the others did not wait for it
			e.queueUploadLocked(bl, []*registryBlob{s.at})
		default:
			e.uploadedLocked(s)
		}
	}
}

// passOn passes on that a sink has the blob, so that it does not wait for the others of an upload.
func (e *engine) passOn(s *sink) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s.lead && s.err == nil {
		e.uploadedLocked(s)
	}
}

// openAll opens the uploads to all sinks. A registry that takes as long as a transfer may stand
// still gets the blob on its own, so that the others do not wait for it.
func (e *engine) openAll(sinks []*sink) {
	var opened sync.WaitGroup
	for _, s := range sinks {
		opened.Go(func() {
			ctx := s.turn.ctx
			if len(sinks) > 1 {
				late, cancel := context.WithTimeoutCause(ctx, e.Client.Patience(), errYielded)
				defer cancel()
				ctx = late
			}
			e.open(ctx, s, s.at.from)
			if s.mounted {
				e.passOn(s)
			}
		})
	}
	opened.Wait()
}

// leaders chooses, on each registry, the first repository that still needs the blob.
func (e *engine) leaders(at []*registryBlob, t *turn) []*sink {
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
			sinks = append(sinks, &sink{wanted: w, at: a, turn: t, lead: true})
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
	if up, ok := e.takeOver(ctx, s); ok {
		s.up, s.mounted = up, up == nil
		return
	}
	s.up, s.err = e.beginUpload(ctx, s.wanted.repo, s.wanted.blob.digest, from)
	s.mounted = s.up == nil && s.err == nil
}

// takeOver returns the upload that the head start opened for a sink, if it did.
func (e *engine) takeOver(ctx context.Context, s *sink) (up *registry.Upload, ok bool) {
	r := s.wanted.repo
	if s.from != r.to.Path() {
		return nil, false
	}
	up, ok = e.Start.take(ctx, r.to.Name(), s.wanted.blob.digest)
	if ok {
		e.mu.Lock()
		defer e.mu.Unlock()
		r.first.answeredLocked(nil, false)
	}
	return up, ok
}

// uploadedLocked handles the success or failure of a leading repository: it queues the mounts into
// the others, or the next upload, or fails the others too.
func (e *engine) uploadedLocked(s *sink) {
	s.done = true
	e.settleLocked(s)
	if s.mounted {
		e.Observer.Mounted(s.wanted.blob.size)
	}
	at := s.at
	rest := at.wanted[at.leader+1:]
	if s.err == nil {
		from := s.wanted.repo.to.Path()
		for _, w := range rest {
			at.queue.addLocked(mounting, w.blob.size, func() { e.mount(w, at, from, 0) })
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
func (e *engine) mount(w *wantedBlob, at *registryBlob, from string, round int) {
	t := e.beginTurn(w.blob, at.queue, round)
	s := &sink{wanted: w, at: at, turn: t}
	if e.stillNeeded(w) {
		e.open(t.ctx, s, from)
		if s.up != nil {
			e.send(w.blob, []*sink{s})
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.endTurnLocked(t) && s.err != nil {
		at.queue.addSlowLocked(w.blob.registry(), func() { e.mount(w, at, from, t.round+1) })
		return
	}
	e.settleLocked(s)
}

// stillNeeded reports whether a blob is needed, and notes that it is worked on.
func (e *engine) stillNeeded(w *wantedBlob) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	needed := w.neededLocked()
	if needed {
		w.owner.beginLocked()
	}
	return needed
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
