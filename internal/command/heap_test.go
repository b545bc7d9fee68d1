package command

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestCollectLate(t *testing.T) {
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(-1)
	t.Cleanup(func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	})
	CollectLate(70, roomy)
	if got := debug.SetGCPercent(100); got != 70 {
		t.Errorf("with little memory, GOGC is %d, want 70 at once", got)
	}
	CollectLate(80, 1<<40)
	if got := debug.SetMemoryLimit(-1); got != roomy {
		t.Errorf("the limit is %d before the first collection, want %d", got, roomy)
	}
	for end := time.Now().Add(10 * time.Second); debug.SetMemoryLimit(-1) != 1<<40; {
		if time.Now().After(end) {
			t.Fatal("the limit is not raised after a collection")
		}
		runtime.GC() // the cleanup runs in a goroutine
	}
	if got := debug.SetGCPercent(100); got != 80 {
		t.Errorf("GOGC is %d after the first collection, want 80", got)
	}
}

func TestReleaseMemory(t *testing.T) {
	const size = 64 << 20
	runtime.GC()
	garbage := make([]byte, size)
	for i := range garbage {
		garbage[i] = 1
	}
	runtime.KeepAlive(garbage)
	garbage = nil
	ReleaseMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if kept := m.HeapIdle - m.HeapReleased; kept > size/2 {
		t.Errorf("%d bytes are kept that are not used", kept)
	}
}
