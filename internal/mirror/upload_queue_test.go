package mirror

import (
	"slices"
	"sync"
	"testing"
)

func testEngine(t *testing.T) *engine {
	e := newEngine(t.Context(), func(error) {}, Options{Client: newClient(t)}, nil)
	e.left = 1
	return e
}

func (e *engine) testQueue(registry string) *uploadQueue {
	q := newUploadQueue(registry, &e.mu, 1, e.slow)
	e.queues[registry] = q
	return q
}

func (q *uploadQueue) addAny(class int, size int64, run func()) {
	if class == uploading {
		q.addUploadLocked("s", size, false, run)
		return
	}
	q.addLocked(class, size, run)
}

// Manifests complete images and go first. Mounts and uploads take turns, and large uploads come
// before the others.
func TestTasksGoInOrder(t *testing.T) {
	e := testEngine(t)
	q := e.testQueue("r")
	var got []string
	for _, task := range []struct {
		name  string
		class int
		size  int64
	}{
		{"small 1", uploading, 100},
		{"large", uploading, 100 << 20},
		{"mount 1", mounting, 50 << 20},
		{"small 2", uploading, 3 << 20},
		{"mount 2", mounting, 100},
		{"huge", uploading, 1 << 30},
		{"manifest", pushing, 0},
	} {
		q.addAny(task.class, task.size, func() { got = append(got, task.name) })
	}
	e.serve(q)
	want := []string{"manifest", "mount 1", "huge", "mount 2", "large", "small 1", "small 2"}
	if !slices.Equal(got, want) {
		t.Errorf("the tasks went %q, want %q", got, want)
	}
}

// Of uploads of one size, those that mounts wait for come first.
func TestUploadsThatGateMountsGoFirst(t *testing.T) {
	e := testEngine(t)
	q := e.testQueue("r")
	var got []string
	for _, task := range []struct {
		name  string
		size  int64
		gates bool
	}{
		{"own 1", 100, false},
		{"shared 1", 3 << 20, true},
		{"own 2", 3 << 20, false},
		{"large", 100 << 20, false},
		{"shared 2", 100, true},
		{"large and shared", 100 << 20, true},
	} {
		q.addUploadLocked("s", task.size, task.gates, func() { got = append(got, task.name) })
	}
	e.serve(q)
	want := []string{"large and shared", "large", "shared 1", "shared 2", "own 1", "own 2"}
	if !slices.Equal(got, want) {
		t.Errorf("the uploads went %q, want %q", got, want)
	}
}

// Uploads leave a worker to mounts and manifests, also if they all wait for the source.
func TestUploadsDoNotTakeAllWorkers(t *testing.T) {
	e := testEngine(t)
	q := e.testQueue("r")
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, class := range []int{uploading, uploading, mounting} {
		q.addAny(class, 1, func() {})
	}
	mount, upload := q.nextLocked(), q.nextLocked()
	if mount.class != mounting || upload.class != uploading {
		t.Fatalf("the first tasks are of the classes %d and %d, want a mount and an upload", mount.class, upload.class)
	}
	if !q.emptyLocked() {
		t.Error("a second upload may start while the first is under way, and only one may")
	}
	q.doneLocked(upload)
	if q.emptyLocked() {
		t.Error("the second upload may not start although the first has ended")
	}
}

// A job without an outcome does not keep workers waiting for tasks that cannot come.
func TestWorkersEndWithoutTasks(t *testing.T) {
	e := testEngine(t)
	for _, name := range []string{"a", "b"} {
		e.testQueue(name)
	}
	e.queues["a"].addUploadLocked("s", 1, false, func() {})
	var workers sync.WaitGroup
	for _, q := range e.queues {
		for range 3 {
			workers.Go(func() { e.serve(q) })
		}
	}
	workers.Wait()
}

// What yielded goes last: in half of the slots while others wait, and then in all but one.
func TestSlowLane(t *testing.T) {
	e := testEngine(t)
	e.slow = newSlowLane(4)
	q := e.testQueue("r")
	e.mu.Lock()
	defer e.mu.Unlock()
	for range 8 {
		q.addSlowLocked("s", func() {})
	}
	q.uploaders = 1
	q.addUploadLocked("s", 1, false, func() {})
	q.addUploadLocked("s", 1, false, func() {})
	started := func() (slow int) {
		for !q.emptyLocked() {
			if q.nextLocked().slow {
				slow++
			}
		}
		return slow
	}
	if got := started(); got != 2 {
		t.Errorf("%d slow transfers start while another upload waits, want 2 of 4 slots", got)
	}
	q.bySource["s"].ready = nil
	if got := started(); got != 1 {
		t.Errorf("%d more start once none waits, want 1, so that one slot is free", got)
	}
	q.addSlowLocked("other", func() {})
	if !q.emptyLocked() {
		t.Error("a slow transfer from another source starts in the last slot of the destination")
	}
	e.slow.leave(q, "s")
	if q.emptyLocked() {
		t.Error("no slow transfer starts in the place of one that has ended")
	}
}

// A source whose uploads are all under way keeps none of another from starting.
func TestSourcesHaveUploadersOfTheirOwn(t *testing.T) {
	e := testEngine(t)
	q := e.testQueue("r")
	e.mu.Lock()
	defer e.mu.Unlock()
	q.addUploadLocked("s", 100<<20, false, func() {})
	q.addUploadLocked("s", 100<<20, false, func() {})
	q.addUploadLocked("other", 1, false, func() {})
	if first, second := q.nextLocked(), q.nextLocked(); first.line.source != "s" || second.line.source != "other" {
		t.Errorf("the first uploads are from %s and %s, want one of each source", first.line.source, second.line.source)
	}
}
