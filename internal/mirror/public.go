package mirror

import "imagemirror/internal/public"

// publishedLocked ends a job whose image has arrived. If strangers must be able to pull it, that
// is checked first, without a worker: other images do not wait for it.
func (e *engine) publishedLocked(j *jobState) {
	switch {
	case !j.Public:
		e.endLocked(j, nil)
	case !j.ended && !j.published:
		j.published = true
		e.checks.Go(func() { e.checkPublic(j) })
	}
}

// checkPublic asks whether strangers can pull an image, unless the run was told to stop.
func (e *engine) checkPublic(j *jobState) {
	err := error(ErrInterrupted)
	if !e.isStopped() {
		err = e.Public.Check(e.work, j.Destination, j.Digest, true)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil && !public.IsPrivate(err) {
		err = e.reasonLocked(err)
	}
	e.answeredLocked(j, err)
}

// answeredLocked ends a job whose image has arrived with what strangers get. If that is not known,
// the job is done all the same.
func (e *engine) answeredLocked(j *jobState, err error) {
	if j.ended {
		return
	}
	j.Asked, j.Refusal = true, err
	if public.IsPrivate(err) {
		e.endLocked(j, err)
		return
	}
	e.endLocked(j, nil)
}

// giveUpLocked ends a job that did not get to its end.
func (e *engine) giveUpLocked(j *jobState, err error) {
	if j.published {
		e.answeredLocked(j, err)
		return
	}
	e.endLocked(j, err)
}
