// Package cgroup finds the memory that the process may take: the limit of its Linux control
// group, which for a pod is that of its container.
package cgroup

import (
	"io/fs"
	"math"
	"os"
	"path"
	"strconv"
	"strings"
)

// unlimited is less than what version 1 has for "no limit": the largest number of whole pages.
const unlimited = math.MaxInt64 >> 1

// MemoryLimit returns the lowest memory limit of the process's control group and those above
// it, in bytes, or 0 without one. It reads versions 1 and 2.
func MemoryLimit() int64 { return memoryLimit(os.DirFS("/")) }

func memoryLimit(root fs.FS) int64 {
	groups, _ := fs.ReadFile(root, "proc/self/cgroup") // other systems have none
	least := int64(unlimited)
	// A line is NUMBER:CONTROLLERS:PATH; version 2 has no controllers: cgroups(7).
	for line := range strings.Lines(string(groups)) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, group, _ := strings.Cut(rest, ":")
		switch controllers {
		case "":
			least = min(least, lowest(root, "sys/fs/cgroup", group, "memory.max"))
		case "memory":
			least = min(least, lowest(root, "sys/fs/cgroup/memory", group, "memory.limit_in_bytes"))
		}
	}
	if least == unlimited {
		return 0
	}
	return least
}

// lowest returns the lowest limit from a group up to the mount. A container may see the path
// that its group has on the node, while only its own group is mounted: then the files of the
// mount are its own.
func lowest(root fs.FS, mount, group, file string) int64 {
	least := int64(unlimited)
	for at := path.Join("/", group); ; at = path.Dir(at) {
		text, err := fs.ReadFile(root, path.Join(mount, at, file))
		if err == nil {
			limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64) // or "max"
			if err == nil && limit > 0 {
				least = min(least, limit)
			}
		}
		if at == "/" {
			return least
		}
	}
}
