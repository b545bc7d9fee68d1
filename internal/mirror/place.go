package mirror

import (
	"context"
	"errors"
	"sync"

	"imagemirror/internal/registry"
)

// lead makes a blob's upload ready: one task for all the registries that want it, so that it is read once.
func (e *engine) lead(bl *blob, presences []*presence) {
	if len(presences) > 0 {
		presences[0].lane.push(uploading, bl.size, func() { e.bring(bl, presences) })
	}
}

// sink is a place that a blob goes to over the wire.
type sink struct {
	place   *place
	at      *presence
	up      *registry.Upload
	mounted bool
	err     error
}

// bring gets a blob to the leading place of each presence, and the rest of the places ready to be mounted.
func (e *engine) bring(bl *blob, presences []*presence) {
	sinks := e.leaders(presences)
	var asked sync.WaitGroup
	for _, s := range sinks {
		asked.Go(func() { e.open(e.work, s, s.at.from) })
	}
	asked.Wait()
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
		e.led(s)
	}
}

// leaders chooses, for each presence, the first place that is still wanted.
func (e *engine) leaders(presences []*presence) []*sink {
	e.mu.Lock()
	defer e.mu.Unlock()
	var sinks []*sink
	for _, at := range presences {
		for at.leader < len(at.places) && !at.places[at.leader].wanted() {
			at.leader++
		}
		if at.leader < len(at.places) {
			p := at.places[at.leader]
			e.begin(p.owner)
			sinks = append(sinks, &sink{place: p, at: at})
		}
	}
	return sinks
}

// open asks the registry for the blob: from where it is said to be, or from the very repository. An image that was
// there before, or a run that was cut off, has left blobs behind, and a mount finds them at no cost: it opens an upload
// where it finds none.
func (e *engine) open(ctx context.Context, s *sink, from string) {
	if from == "" {
		from = s.place.repo.to.Path()
	}
	s.up, s.err = e.upload(ctx, s.place.repo, s.place.blob.digest, from)
	s.mounted = s.up == nil && s.err == nil
}

// led says what follows from a leading place's success or failure.
func (e *engine) led(s *sink) {
	e.settle(s)
	if s.mounted {
		e.Observer.Mounted(s.place.blob.size)
	}
	at := s.at
	rest := at.places[at.leader+1:]
	if s.err == nil {
		from := s.place.repo.to.Path()
		for _, p := range rest {
			at.lane.push(mounting, p.blob.size, func() { e.mount(p, at, from) })
		}
		return
	}
	if hopelessFor(s.err) {
		for _, p := range rest {
			e.settle(&sink{place: p, at: at, err: s.err})
		}
		return
	}
	at.leader++
	if at.leader < len(at.places) {
		e.lead(at.blob, []*presence{at})
	}
}

// hopelessFor says whether an error that one place met will meet all others on its registry too: the source's fault, or the
// run's end. What the destination does not do for one repository it may do for another, and each image has to hear of its own.
func hopelessFor(err error) bool {
	var r *registry.Error
	return !errors.As(err, &r) || r.Side == registry.Source
}

// mount gets a blob to a place from another repository on the registry, or by an upload of its own where the registry
// does not mount.
func (e *engine) mount(p *place, at *presence, from string) {
	e.mu.Lock()
	wanted := p.wanted()
	if wanted {
		e.begin(p.owner)
	}
	e.mu.Unlock()
	if !wanted {
		return
	}
	s := &sink{place: p, at: at}
	e.open(e.work, s, from)
	if s.up != nil {
		e.send(p.blob, []*sink{s})
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settle(s)
}

// settle lets the manifests go on that wait for a blob, or fails them.
func (e *engine) settle(s *sink) {
	p := s.place
	if s.err != nil {
		err := e.reason(s.err)
		for _, n := range p.waiting {
			e.fail(n, err)
		}
		return
	}
	if s.mounted {
		p.owner.Mounted += p.blob.size
	} else {
		p.owner.Bytes += p.blob.size
	}
	for _, n := range p.waiting {
		e.release(n)
	}
}

// wanted says whether any manifest still needs the place.
func (p *place) wanted() bool {
	for _, n := range p.waiting {
		if n.wanted() {
			return true
		}
	}
	return false
}

// reason is err, or ErrInterrupted where the run's end was the cause.
func (e *engine) reason(err error) error {
	if errors.Is(err, ErrInterrupted) || e.stopped && e.work.Err() != nil {
		return ErrInterrupted
	}
	return err
}
