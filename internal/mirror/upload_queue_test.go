package mirror

import (
	"slices"
	"sync"
	"testing"
)

func testEngine(t *testing.T) *engine {
	e := newEngine(t.Context(), func(error) {}, Options{})
	e.left = 1
	return e
}

func (e *engine) testQueue(registry string) *uploadQueue {
	q := newUploadQueue(registry, &e.mu)
	e.queues[registry] = q
	return q
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
		q.addLocked(task.class, task.size, func() { got = append(got, task.name) })
	}
	e.serve(q)
	want := []string{"manifest", "mount 1", "huge", "mount 2", "large", "small 1", "small 2"}
	if !slices.Equal(got, want) {
		t.Errorf("the tasks went %q, want %q", got, want)
	}
}

// A job without an outcome does not keep workers waiting for tasks that cannot come.
func TestWorkersEndWithoutTasks(t *testing.T) {
	e := testEngine(t)
	for _, name := range []string{"a", "b"} {
		e.testQueue(name)
	}
	e.queues["a"].addLocked(uploading, 1, func() {})
	var workers sync.WaitGroup
	for _, q := range e.queues {
		for range 3 {
			workers.Go(func() { e.serve(q) })
		}
	}
	workers.Wait()
}
