package mirror

import (
	"maps"
	"slices"

	"imagemirror/internal/registry"
)

// start announces what will be used, and queues what waits for nothing.
func (e *engine) start() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.announceLocked()
	for _, bl := range e.order {
		e.queueUploadLocked(bl, bl.registries)
	}
	for _, r := range e.repos {
		for _, m := range slices.AppendSeq(r.current, maps.Values(r.manifests)) {
			if m.missing == 0 {
				e.queuePushLocked(m)
			}
		}
	}
}

// announceLocked tells the registries' clients which repositories will be used, and what is mounted
// from where, so that they can ask for one token with all scopes. It does so in the order of the
// jobs, so that the first token has the scopes of the first requests.
func (e *engine) announceLocked() {
	from := map[*repo][]string{}
	announced := map[*registry.Repository]bool{}
	for _, bl := range e.order {
		for _, s := range bl.sources {
			if !announced[s] {
				announced[s] = true
				s.Announce(e.work)
			}
		}
		for _, at := range bl.registries {
			for i, w := range at.wanted {
				path := at.wanted[0].repo.to.Path()
				if i == 0 {
					path = at.from
				}
				if path != "" && !slices.Contains(from[w.repo], path) {
					from[w.repo] = append(from[w.repo], path)
				}
			}
		}
	}
	var all []registry.Announcement
	for _, j := range e.jobs {
		if j.manifest == nil || announced[j.manifest.repo.to] {
			continue
		}
		announced[j.manifest.repo.to] = true
		all = append(all, registry.Announcement{Repository: j.manifest.repo.to, From: from[j.manifest.repo]})
	}
	registry.AnnounceAll(e.work, all, true)
}

// serve carries out a queue's tasks until there can be no more.
func (e *engine) serve(q *uploadQueue) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		for q.emptyLocked() && e.runningLocked() {
			q.wake.Wait()
		}
		if !e.runningLocked() {
			return
		}
		t := q.nextLocked()
		e.busy++
		e.mu.Unlock()
		t.run()
		e.mu.Lock()
		e.busy--
		q.doneLocked(t)
		if !e.runningLocked() || e.slow.waiting > 0 {
			e.wakeAllLocked()
		}
	}
}

// runningLocked reports whether tasks are left, or may still come from those under way.
func (e *engine) runningLocked() bool {
	if e.left == 0 || e.stopped {
		return false
	}
	if e.busy > 0 {
		return true
	}
	for _, q := range e.queues {
		if !q.emptyLocked() {
			return true
		}
	}
	return false
}

// slowWaitLocked reports whether transfers wait that yielded: from a source or, unless to is nil,
// in that queue.
func (e *engine) slowWaitLocked(source string, to *uploadQueue) bool {
	for _, q := range e.queues {
		for _, l := range q.lines {
			if len(l.slow) > 0 && (l.source == source || q == to) {
				return true
			}
		}
	}
	return false
}

func (e *engine) wakeAllLocked() {
	for _, q := range e.queues {
		q.wake.Broadcast()
	}
}
