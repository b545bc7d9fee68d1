package mirror

import (
	"slices"
	"sync"
	"testing"
)

// What completes images goes first; mounts and uploads take turns, large uploads first, and the rest as it came.
func TestTasksGoInOrder(t *testing.T) {
	e := &engine{lanes: map[string]*lane{}, left: 1, cancel: func(error) {}}
	l := &lane{wake: sync.NewCond(&e.mu)}
	e.lanes["r"] = l
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
		l.push(task.class, task.size, func() { got = append(got, task.name) })
	}
	e.serve(l)
	want := []string{"manifest", "mount 1", "huge", "mount 2", "large", "small 1", "small 2"}
	if !slices.Equal(got, want) {
		t.Errorf("the tasks went %q, want %q", got, want)
	}
}

// A worker does not wait for tasks that cannot come, though a job is without an outcome.
func TestWorkersEndWithoutTasks(t *testing.T) {
	e := &engine{lanes: map[string]*lane{}, left: 1}
	for _, name := range []string{"a", "b"} {
		e.lanes[name] = &lane{registry: name, wake: sync.NewCond(&e.mu)}
	}
	e.lanes["a"].push(uploading, 1, func() {})
	var workers sync.WaitGroup
	for _, l := range e.lanes {
		for range 3 {
			workers.Go(func() { e.serve(l) })
		}
	}
	workers.Wait()
}
