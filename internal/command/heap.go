package command

import (
	"runtime"
	"runtime/debug"
)

// roomy is how much memory a process may take before garbage is collected for the first time, in
// bytes. A run with nothing to do ends before that.
const roomy = 24 << 20

// CollectLate lets no garbage be collected until the process has taken some memory. From then on
// the heap may grow by percent before each collection, and less as memory comes near to limit
// bytes. Call it once, after the environment was asked whether it sets either.
func CollectLate(percent int, limit int64) {
	if limit <= roomy {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
		return
	}
	debug.SetGCPercent(-1) // so that the limit alone decides
	debug.SetMemoryLimit(roomy)
	runtime.AddCleanup(new(collected), func(limit int64) {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}, limit)
}

// ReleaseMemory gives memory that is not used back to the operating system, if garbage was
// collected before: a process that is smaller keeps what it has.
func ReleaseMemory() {
	var stats debug.GCStats
	debug.ReadGCStats(&stats)
	if stats.NumGC > 0 {
		debug.FreeOSMemory()
	}
}

// A collected is garbage that tells when the first collection has ended. It is not so small that
// the allocator would put it into one block with others, which might live on.
type collected [64]byte
