package cgroup

import (
	"testing"
	"testing/fstest"
)

func TestMemoryLimit(t *testing.T) {
	const v1 = "9:name=systemd:/\n4:memory:/pods/a\n1:cpu,cpuacct:/\n0::/\n"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"not Linux", nil, 0},
		{"version 2, own namespace", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "268435456\n"}, 256 << 20},
		{"version 2, none", map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n"}, 0},
		{"version 2, a parent's is lower", map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "900\n", "sys/fs/cgroup/a/memory.max": "800\n",
		}, 800},
		{"version 2, beside its own mount", map[string]string{"proc/self/cgroup": "0::/../b\n", "sys/fs/cgroup/memory.max": "700\n"}, 700},
		{"version 1", map[string]string{
			"proc/self/cgroup": v1, "sys/fs/cgroup/memory/pods/a/memory.limit_in_bytes": "500\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, 500},
		{"version 1, the node's path", map[string]string{"proc/self/cgroup": v1, "sys/fs/cgroup/memory/memory.limit_in_bytes": "600\n"}, 600},
		{"version 1, none", map[string]string{"proc/self/cgroup": v1, "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
		{"odd", map[string]string{"proc/self/cgroup": "x\n\n0::\n4:memory\n", "sys/fs/cgroup/memory.max": "-1\n"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := fstest.MapFS{}
			for name, text := range c.files {
				files[name] = &fstest.MapFile{Data: []byte(text)}
			}
			if got := memoryLimit(files); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}
