package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// container is the memory that a Task's container has.
const container = 256 << 20

// newGroup makes a control group with a limit, of version 2 or 1. The caller removes it.
func newGroup() (dir string, remove func(), err error) {
	for mount, limit := range map[string]string{"/sys/fs/cgroup": "memory.max", "/sys/fs/cgroup/memory": "memory.limit_in_bytes"} {
		at := filepath.Join(mount, fmt.Sprint("torture-", os.Getpid()))
		if made := os.Mkdir(at, 0o755); made != nil {
			err = errors.Join(err, made)
			continue
		}
		remove = func() { _ = os.Remove(at) }
		file := filepath.Join(at, limit)
		if _, missing := os.Stat(file); missing == nil {
			if missing = os.WriteFile(file, fmt.Append(nil, container), 0o600); missing == nil {
				return at, remove, nil
			}
		} else {
			err = errors.Join(err, missing)
		}
		remove()
	}
	return "", nil, err
}
