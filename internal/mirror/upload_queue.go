package mirror

import (
	"container/heap"
	"math/bits"
	"sync"
)

// An uploadQueue holds the tasks that are ready for one destination registry. Each registry has
// workers of its own, so a slow one delays no other.
type uploadQueue struct {
	registry string
	wake     *sync.Cond // on engine.mu
	ready    [classes]tasks
	seq      int
	mounted  bool // the last task was a mount, not an upload
	settling settling
}

func newUploadQueue(registry string, mu *sync.Mutex) *uploadQueue {
	return &uploadQueue{registry: registry, wake: sync.NewCond(mu)}
}

// A task is something that can be done now.
type task struct {
	size int // how often ordinary doubles to reach the blob's size; the largest goes first
	seq  int
	run  func()
}

// ordinary is the size up to which a blob's requests take more time than its bytes.
const ordinary = 4 << 20

// Classes of tasks. Manifests complete images and go first. Mounts and uploads take turns: mounts
// cost the registry time but no bytes, so they fill what uploads leave of it, and neither waits for
// all of the other. Among uploads, large blobs go first, since they take longest. The others go in
// the order of images, so that images finish all along and not all at the end.
const (
	pushing = iota
	mounting
	uploading
	classes
)

func (q *uploadQueue) addLocked(class int, size int64, run func()) {
	q.seq++
	heap.Push(&q.ready[class], &task{size: bits.Len64(uint64(size / ordinary)), seq: q.seq, run: run})
	q.wake.Signal()
}

func (q *uploadQueue) emptyLocked() bool {
	return len(q.ready[pushing]) == 0 && len(q.ready[mounting]) == 0 && len(q.ready[uploading]) == 0
}

// nextLocked removes the task that is next. The queue must not be empty.
func (q *uploadQueue) nextLocked() *task {
	class := pushing
	if len(q.ready[pushing]) == 0 {
		q.mounted = len(q.ready[uploading]) == 0 || len(q.ready[mounting]) > 0 && !q.mounted
		class = uploading
		if q.mounted {
			class = mounting
		}
	}
	return heap.Pop(&q.ready[class]).(*task)
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
