package mirror

import (
	"container/heap"
	"math/bits"
	"sync"
)

// lane is the work that is ready for one destination registry. Each registry has workers of its own, so that a slow
// one holds nobody up.
type lane struct {
	registry string
	wake     *sync.Cond // on the engine's mutex
	ready    [classes]tasks
	seq      int
	mounted  bool // the last task was a mount, and not an upload
}

// task is something that can be done now.
type task struct {
	size int // how many times the size doubled beyond ordinary; larger goes first
	seq  int
	run  func()
}

// ordinary is the size up to which a blob's time is more that of its requests than that of its bytes.
const ordinary = 4 << 20

// Classes of tasks. Manifests, which complete images, go first. Mounts and uploads take turns: mounts cost the registry's time
// and no bytes, so that they fill what uploads leave of it, and neither waits for all of the other. Of the uploads, large ones
// come first, since they take longest, and the others in the order of images, so that images are finished all along, and not
// all at the end.
const (
	pushing = iota
	mounting
	uploading
	classes
)

func (l *lane) push(class int, size int64, run func()) {
	l.seq++
	heap.Push(&l.ready[class], &task{size: bits.Len64(uint64(size / ordinary)), seq: l.seq, run: run})
	l.wake.Signal()
}

func (l *lane) empty() bool {
	return len(l.ready[pushing]) == 0 && len(l.ready[mounting]) == 0 && len(l.ready[uploading]) == 0
}

// pop takes the task that is next. There is one.
func (l *lane) pop() *task {
	class := pushing
	if len(l.ready[pushing]) == 0 {
		l.mounted = len(l.ready[uploading]) == 0 || len(l.ready[mounting]) > 0 && !l.mounted
		class = uploading
		if l.mounted {
			class = mounting
		}
	}
	return heap.Pop(&l.ready[class]).(*task)
}

// serve does a lane's tasks until there can be no more.
func (e *engine) serve(l *lane) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		for l.empty() && e.goesOn() {
			l.wake.Wait()
		}
		if !e.goesOn() {
			return
		}
		t := l.pop()
		e.busy++
		e.mu.Unlock()
		t.run()
		e.mu.Lock()
		e.busy--
		if !e.goesOn() {
			e.wakeAll()
		}
	}
}

// goesOn says whether tasks are left, or may still come from those that are under way.
func (e *engine) goesOn() bool {
	if e.left == 0 || e.stopped {
		return false
	}
	if e.busy > 0 {
		return true
	}
	for _, l := range e.lanes {
		if !l.empty() {
			return true
		}
	}
	return false
}

func (e *engine) wakeAll() {
	for _, l := range e.lanes {
		l.wake.Broadcast()
	}
}

// tasks is a heap.
type tasks []*task

func (t tasks) Len() int { return len(t) }

func (t tasks) Less(i, j int) bool {
	a, b := t[i], t[j]
	if a.size != b.size {
		return a.size > b.size
	}
	return a.seq < b.seq
}

func (t tasks) Swap(i, j int) { t[i], t[j] = t[j], t[i] }
func (t *tasks) Push(x any)   { *t = append(*t, x.(*task)) }

func (t *tasks) Pop() any {
	old := *t
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*t = old[:len(old)-1]
	return last
}
