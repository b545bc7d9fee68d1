package mirror

import (
	"container/heap"
	"sync"
)

// lane is the work that is ready for one destination registry. Each registry has workers of its own, so that a slow
// one holds nobody up.
type lane struct {
	registry string
	wake     *sync.Cond // on the engine's mutex
	ready    tasks
	seq      int
}

// task is something that can be done now.
type task struct {
	class int // lower goes first
	size  int64
	seq   int
	run   func()
}

// Classes of tasks. What completes images goes before what begins others, and large blobs before small ones: they
// take longest.
const (
	pushing = iota
	mounting
	uploading
)

func (l *lane) push(class int, size int64, run func()) {
	l.seq++
	heap.Push(&l.ready, &task{class: class, size: size, seq: l.seq, run: run})
	l.wake.Signal()
}

// serve does a lane's tasks until no job is left or the run is stopped.
func (e *engine) serve(l *lane) {
	for {
		e.mu.Lock()
		for len(l.ready) == 0 && e.left > 0 && !e.stopped {
			l.wake.Wait()
		}
		if e.left == 0 || e.stopped {
			e.mu.Unlock()
			return
		}
		t := heap.Pop(&l.ready).(*task)
		e.mu.Unlock()
		t.run()
	}
}

// tasks is a heap.
type tasks []*task

func (t tasks) Len() int { return len(t) }

func (t tasks) Less(i, j int) bool {
	a, b := t[i], t[j]
	switch {
	case a.class != b.class:
		return a.class < b.class
	case a.size != b.size:
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
