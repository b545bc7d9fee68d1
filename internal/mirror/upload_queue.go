package mirror

import (
	"container/heap"
	"math/bits"
	"slices"
	"sync"
)

// An uploadQueue holds the tasks that are ready for one destination registry. Each registry has
// workers of its own, so a slow one delays no other.
type uploadQueue struct {
	registry  string
	wake      *sync.Cond // on engine.mu
	ready     [uploading]taskHeap
	lines     []*taskLine // of uploads
	bySource  map[string]*taskLine
	seq       int
	mounted   bool // the last task was a mount, not an upload
	uploads   int  // tasks under way that upload
	uploaders int  // bounds the uploads from each source
	lane      *slowLane
	slow      int // transfers in the slow lane
	settling  settling

	refusesSparse bool // it has refused an index for children that are not there
}

// uploadersFor returns how many uploads may be under way at a registry with so many request slots.
// Two for each slot: while one waits for the source, another uses it. Beyond four slots three,
// since the source's first answers come together, and the slots would be idle until then.
func uploadersFor(slots int) int { return max(2*slots, 3*slots-4) }

// A taskLine holds the uploads from one source registry.
type taskLine struct {
	source  string
	ready   taskHeap
	slow    []*task // that yielded, in the order in which they did
	uploads int     // under way
}

func newUploadQueue(registry string, mu *sync.Mutex, uploaders int, lane *slowLane) *uploadQueue {
	return &uploadQueue{registry: registry, wake: sync.NewCond(mu), bySource: map[string]*taskLine{}, uploaders: uploaders, lane: lane}
}

// maxSources bounds how many sources have uploaders of their own. More than that share them.
const maxSources = 4

// workers returns how many tasks are carried out at once: the uploads of each source, and for each
// request slot one in the slow lane, and one that only asks the destination.
func (q *uploadQueue) workers() int {
	return q.uploaders*min(max(1, len(q.lines)), maxSources) + 2*q.lane.slots
}

// lineLocked returns the line of a source.
func (q *uploadQueue) lineLocked(source string) *taskLine {
	l := q.bySource[source]
	if l == nil {
		l = &taskLine{source: source}
		q.bySource[source] = l
		q.lines = append(q.lines, l)
	}
	return l
}

// A task is something that can be done now.
type task struct {
	class int
	size  int // how often ordinary doubles to reach the blob's size; the largest goes first
	seq   int
	line  *taskLine // of an upload
	gates bool      // mounts wait for it
	slow  bool      // it is in the slow lane
	run   func()
}

// ordinary is the size up to which a blob's requests take more time than its bytes.
const ordinary = 4 << 20

// Classes of tasks. Manifests complete images and go first. Mounts and uploads take turns: mounts
// cost the registry time but no bytes, so they fill what uploads leave of it, and neither waits for
// all of the other. Among uploads, large blobs go first, since they take longest, and then those
// that mounts wait for. The others go in the order of images, so that images finish throughout the
// run. Uploads wait for the source too, so they never take all workers: the destination has
// manifests and mounts meanwhile.
const (
	pushing = iota
	mounting
	uploading
	classes
)

func (q *uploadQueue) addLocked(class int, size int64, run func()) {
	q.push(&q.ready[class], &task{class: class, run: run}, size)
}

// addUploadLocked adds an upload from a source. gates reports whether mounts wait for it.
func (q *uploadQueue) addUploadLocked(source string, size int64, gates bool, run func()) {
	l := q.lineLocked(source)
	q.push(&l.ready, &task{class: uploading, line: l, gates: gates, run: run}, size)
}

func (q *uploadQueue) push(to *taskHeap, t *task, size int64) {
	q.seq++
	t.seq, t.size = q.seq, bits.Len64(uint64(size/ordinary))
	heap.Push(to, t)
	q.wake.Signal()
}

// addSlowLocked adds a transfer that yielded.
func (q *uploadQueue) addSlowLocked(source string, run func()) {
	l := q.lineLocked(source)
	q.lane.waiting++
	l.slow = append(l.slow, &task{class: uploading, line: l, slow: true, run: run})
}

// emptyLocked reports whether no task may start now.
func (q *uploadQueue) emptyLocked() bool {
	return len(q.ready[pushing]) == 0 && len(q.ready[mounting]) == 0 && !q.mayUploadLocked()
}

// hasNormalLocked reports whether uploads wait that did not yield.
func (q *uploadQueue) hasNormalLocked() bool {
	return slices.ContainsFunc(q.lines, func(l *taskLine) bool { return len(l.ready) > 0 })
}

// mayUploadLocked reports whether an upload may start now.
func (q *uploadQueue) mayUploadLocked() bool {
	return q.firstLocked() != nil || q.firstSlowLocked() != nil
}

// firstLocked returns the line with the upload that is next, or nil.
func (q *uploadQueue) firstLocked() (first *taskLine) {
	if q.uploads >= q.uploaders*maxSources {
		return nil
	}
	for _, l := range q.lines {
		if len(l.ready) > 0 && l.uploads < q.uploaders && (first == nil || l.ready[0].before(first.ready[0])) {
			first = l
		}
	}
	return first
}

// firstSlowLocked returns a line that has a transfer for the slow lane, which has room for it, or
// nil.
func (q *uploadQueue) firstSlowLocked() *taskLine {
	i := slices.IndexFunc(q.lines, func(l *taskLine) bool { return len(l.slow) > 0 && q.lane.hasRoom(q, l.source, q.slowMostLocked()) })
	if i < 0 {
		return nil
	}
	return q.lines[i]
}

// slowMostLocked returns how many slow transfers there may be.
func (q *uploadQueue) slowMostLocked() int {
	if q.hasNormalLocked() {
		return q.lane.half()
	}
	return q.lane.all()
}

// nextLocked removes the task that is next. The queue must not be empty. Its doneLocked follows.
func (q *uploadQueue) nextLocked() *task {
	if len(q.ready[pushing]) > 0 {
		return heap.Pop(&q.ready[pushing]).(*task)
	}
	q.mounted = !q.mayUploadLocked() || len(q.ready[mounting]) > 0 && !q.mounted
	if q.mounted {
		return heap.Pop(&q.ready[mounting]).(*task)
	}
	if l := q.firstLocked(); l != nil {
		q.uploads++
		l.uploads++
		return heap.Pop(&l.ready).(*task)
	}
	l := q.firstSlowLocked()
	q.lane.enter(q, l.source, q.slowMostLocked()) // its turn leaves
	q.lane.waiting--
	t := l.slow[0]
	l.slow = l.slow[1:]
	return t
}

// doneLocked notes the end of a task. Its worker asks for the next one, so nobody is woken.
func (q *uploadQueue) doneLocked(t *task) {
	if t.class == uploading && !t.slow {
		q.uploads--
		t.line.uploads--
	}
}

// A taskHeap is a heap of tasks.
type taskHeap []*task

func (t taskHeap) Len() int { return len(t) }

func (t taskHeap) Less(i, j int) bool {
	return t[i].before(t[j])
}

// before reports whether t goes before another task.
func (t *task) before(other *task) bool {
	if t.size != other.size {
		return t.size > other.size
	}
	if t.gates != other.gates {
		return t.gates
	}
	return t.seq < other.seq
}

func (t taskHeap) Swap(i, j int) { t[i], t[j] = t[j], t[i] }
func (t *taskHeap) Push(x any)   { *t = append(*t, x.(*task)) }

func (t *taskHeap) Pop() any {
	old := *t
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*t = old[:len(old)-1]
	return last
}
