package mirror

import (
	"errors"
	"fmt"

	"imagemirror/internal/fault"
	"imagemirror/internal/reference"
)

// ErrLate is what the errors of jobs are that had no outcome when Options.Until ended.
var ErrLate = errors.New("the time for copying is over (MIRROR_COPY_DEADLINE)")

// A lateCopyError is the error of a job without an outcome by the deadline.
type lateCopyError struct {
	side   reference.Side // that was waited for, or ""
	host   string         // that was waited for, or ""
	waited string         // what the job waited for
}

func (e *lateCopyError) Error() string        { return fmt.Sprintf("%s: %v", e.waited, ErrLate) }
func (e *lateCopyError) Is(target error) bool { return target == ErrLate }

// Fault returns what was waited for, and what a person can do.
func (e *lateCopyError) Fault() fault.Fault {
	return fault.Fault{
		Kind: fault.Deadline, Side: e.side, Host: e.host,
		Advice: "run again: what has arrived is not sent again; if the registries are only slow, raise MIRROR_COPY_DEADLINE",
	}
}

// expire ends the jobs that have no outcome at the deadline.
func (e *engine) expire() {
	e.mu.Lock()
	defer e.mu.Unlock()
	missing := e.missingLocked()
	for _, j := range e.jobs {
		if !j.ended {
			e.giveUpLocked(j, e.lateLocked(j, missing))
		}
	}
}

// missingLocked returns a blob that each manifest still waits for.
func (e *engine) missingLocked() map[*wantedManifest]*wantedBlob {
	missing := map[*wantedManifest]*wantedBlob{}
	for _, bl := range e.order {
		for _, at := range bl.registries {
			for _, w := range at.wanted {
				for _, m := range w.waiting {
					if !w.settled && missing[m] == nil {
						missing[m] = w
					}
				}
			}
		}
	}
	return missing
}

// lateLocked returns the error of a job without an outcome.
func (e *engine) lateLocked(j *jobState, missing map[*wantedManifest]*wantedBlob) error {
	m := j.manifest
	for child := m; child != nil && missing[m] == nil; child = m.absentLocked() {
		m = child
	}
	w := missing[m]
	switch {
	case w != nil && w.owner.began.IsZero():
		return &lateCopyError{"", "", fmt.Sprintf("other images came before the blob %s of %s", w.blob.digest, j.Source.Name())}
	case w != nil:
		return &lateCopyError{reference.Source, j.Source.Registry, fmt.Sprintf("waited for the blob %s of %s", w.blob.digest, j.Source.Name())}
	}
	return &lateCopyError{reference.Destination, j.Destination.Registry, fmt.Sprintf("waited for %s to accept the manifest %s", j.Destination.Name(), m.digest)}
}

// absentLocked returns a child that is not in the repository yet, or nil.
func (m *wantedManifest) absentLocked() *wantedManifest {
	for _, child := range m.children {
		if !child.there {
			return child
		}
	}
	return nil
}
