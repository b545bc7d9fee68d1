package mirror

import (
	"fmt"
	"net/http"

	"imagemirror/internal/registry"
	"imagemirror/internal/stream"
)

// ready makes a manifest ready to be pushed.
func (e *engine) ready(n *node) {
	n.repo.lane.push(pushing, 0, func() { e.pushNode(n) })
}

// pushNode pushes a manifest: under each of the tags that jobs want, and by its digest where no job wants a tag.
func (e *engine) pushNode(n *node) {
	e.mu.Lock()
	var tags, plain []*job
	for _, j := range n.jobs {
		if j.over {
			continue
		}
		e.begin(j)
		if j.Destination.Tag != "" {
			tags = append(tags, j)
		} else {
			plain = append(plain, j)
		}
	}
	wanted := len(tags)+len(plain) > 0 || n.wanted()
	e.mu.Unlock()
	if !wanted {
		return
	}
	if len(tags) == 0 {
		err := n.repo.to.PutManifest(e.work, n.m.Digest, n.m)
		e.pushed(n, plain, err, false)
		return
	}
	// Any tag brings the manifest itself, which is then there by its digest, and for the indexes that lead to it.
	for i, j := range tags {
		if i > 0 && e.isStopped() {
			return
		}
		err := e.putTag(n, j)
		done := []*job{j}
		if err == nil {
			done = append(done, plain...)
		}
		e.pushed(n, done, err, true)
	}
}

// putTag pushes a manifest under a tag. Where the registry refuses, the tag may be immutable and at the digest already, since an
// earlier run that was cut off has put it there.
func (e *engine) putTag(n *node, j *job) error {
	tag := j.Destination.Tag
	if j.Immutable {
		if there, err := e.immutable(n, tag); there || err != nil {
			return err
		}
	}
	err := n.repo.to.PutManifest(e.work, tag, n.m)
	if status := registry.StatusOf(err); status < 400 || status >= 500 || status == http.StatusUnauthorized || status == http.StatusTooManyRequests {
		return err
	}
	if at, headErr := n.repo.to.Head(e.work, tag); headErr == nil && at == n.m.Digest {
		return nil
	}
	return err
}

// immutable says whether a tag that never moves is there already, at what it is to be at. One that was not there when the run
// was planned may be by now. The protocol has no push for a tag that is not there alone: who pushes it between this answer and
// the push that follows is overwritten.
func (e *engine) immutable(n *node, tag string) (there bool, err error) {
	at, err := n.repo.to.Head(e.work, tag)
	switch {
	case registry.StatusOf(err) == http.StatusNotFound:
		return false, nil
	case err == nil && at != n.m.Digest:
		return false, stream.WithAdvice(
			fmt.Sprintf("the tag %s is immutable, and was put at %s since the run was planned, and not at %s: it stays where it is", tag, at, n.m.Digest),
			"find out who else pushes to it, then run again")
	}
	return err == nil, err
}

func (e *engine) isStopped() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stopped
}

// pushed ends the jobs that wanted what was pushed, and lets indexes go on that waited for it. Where all tags were refused, what
// is wanted by its digest, by a job or an index, is pushed by that.
func (e *engine) pushed(n *node, done []*job, err error, tagged bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err == nil {
		for _, j := range done {
			e.end(j, nil)
		}
		e.arrived(n)
		return
	}
	err = e.reason(err)
	for _, j := range done {
		e.end(j, err)
	}
	switch {
	case n.there || !n.leftOver():
	case tagged && n.wanted():
		e.ready(n)
	default:
		e.fail(n, err)
	}
}

// leftOver says whether no job is left that would bring the manifest by another tag.
func (n *node) leftOver() bool {
	for _, j := range n.jobs {
		if !j.over && j.Destination.Tag != "" {
			return false
		}
	}
	return true
}

// arrived lets the indexes go on that lead to a manifest which is there now.
func (e *engine) arrived(n *node) {
	if n.there {
		return
	}
	n.there = true
	for _, parent := range n.parents {
		e.release(parent)
	}
}

// release takes one off what a manifest waits for.
func (e *engine) release(n *node) {
	n.missing--
	if n.missing == 0 && n.err == nil {
		e.ready(n)
	}
}

// fail ends every job that needs the manifest.
func (e *engine) fail(n *node, err error) {
	if n.err != nil {
		return
	}
	n.err = err
	for _, j := range n.jobs {
		e.end(j, err)
	}
	for _, parent := range n.parents {
		e.fail(parent, err)
	}
}

// wanted says whether a job without an outcome needs the manifest.
func (n *node) wanted() bool { return n.err == nil && n.needs > 0 }

// need notes one more that needs the manifest, and so all that it leads to.
func (n *node) need() {
	n.needs++
	if n.needs == 1 {
		for _, child := range n.children {
			child.need()
		}
	}
}

// drop takes a need back.
func (n *node) drop() {
	n.needs--
	if n.needs == 0 {
		for _, child := range n.children {
			child.drop()
		}
	}
}
