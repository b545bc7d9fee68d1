package mirror

import (
	"container/heap"
	"math/bits"
	"sync"
)

// An uploadQueue holds the tasks that are ready for one destination registry. Each registry has
// workers of its own, so a slow one delays no other.
type uploadQueue struct {
	registry  string
	wake      *sync.Cond // on engine.mu
	ready     [classes]tasks
	seq       int
	mounted   bool // the last task was a mount, not an upload
	uploads   int  // tasks under way that upload
	uploaders int  // bounds uploads
	settling  settling
}

// uploadersFor returns how many uploads may be under way at a registry with so many request slots.
// Two for each slot: while one waits for the source, another uses it. If there are several, three,
// since the source's first answers come together, and the slots would be idle until then.
func uploadersFor(slots int) int { return 3*slots - 1 }

func newUploadQueue(registry string, mu *sync.Mutex, uploaders int) *uploadQueue {
	return &uploadQueue{registry: registry, wake: sync.NewCond(mu), uploaders: uploaders}
}

// A task is something that can be done now.
type task struct {
	class int
	size  int // how often ordinary doubles to reach the blob's size; the largest goes first
	seq   int
	run   func()
}

// ordinary is the size up to which a blob's requests take more time than its bytes.
const ordinary = 4 << 20

// Classes of tasks. Manifests complete images and go first. Mounts and uploads take turns: mounts
// cost the registry time but no bytes, so they fill what uploads leave of it, and neither waits for
// all of the other. Among uploads, large blobs go first, since they take longest. The others go in
// the order of images, so that images finish all along and not all at the end. Uploads wait for the
// source too, so they never take all workers: the destination has manifests and mounts meanwhile.
const (
	pushing = iota
	mounting
	uploading
	classes
)

func (q *uploadQueue) addLocked(class int, size int64, run func()) {
	q.seq++
	heap.Push(&q.ready[class], &task{class: class, size: bits.Len64(uint64(size / ordinary)), seq: q.seq, run: run})
	q.wake.Signal()
}

// emptyLocked reports whether no task may start now.
func (q *uploadQueue) emptyLocked() bool {
	return len(q.ready[pushing]) == 0 && len(q.ready[mounting]) == 0 && !q.mayUploadLocked()
}

// mayUploadLocked reports whether an upload may start now.
func (q *uploadQueue) mayUploadLocked() bool {
	return len(q.ready[uploading]) > 0 && q.uploads < q.uploaders
}

// nextLocked removes the task that is next. The queue must not be empty. Its doneLocked follows.
func (q *uploadQueue) nextLocked() *task {
	class := pushing
	if len(q.ready[pushing]) == 0 {
		q.mounted = !q.mayUploadLocked() || len(q.ready[mounting]) > 0 && !q.mounted
		class = uploading
		if q.mounted {
			class = mounting
		}
	}
	if class == uploading {
		q.uploads++
	}
	return heap.Pop(&q.ready[class]).(*task)
}

// doneLocked notes the end of a task. Its worker asks for the next one, so nobody is woken.
func (q *uploadQueue) doneLocked(t *task) {
	if t.class == uploading {
		q.uploads--
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
