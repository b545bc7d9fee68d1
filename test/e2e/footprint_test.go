//go:build e2e

package e2e

import (
	"bufio"
	"os/exec"
	"strconv"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
)

// A footprint is what a container has used, according to its control group.
type footprint struct{ memory, cpu int64 } // peak bytes; nanoseconds

// sampling is a script that prints what each container of a pod has used so far, as PATH MEMORY
// CPU. It exits when the file in its argument is gone, or after half an hour. It reads control
// groups of version 1 and 2, and uses only what the shell has built in, because starting
// programs would cost more.
const sampling = `
touch "$1"
for round in $(seq 1800); do
  [ -e "$1" ] || exit 0
  for f in /sys/fs/cgroup/kubelet*/*/*/*pod*/*/memory.peak /sys/fs/cgroup/memory/kubelet*/*/*/*pod*/*/memory.max_usage_in_bytes; do
    d=${f%/*}; memory= cpu=
    { read -r memory <"$f"; } 2>/dev/null
    { read -r cpu <"/sys/fs/cgroup/cpuacct${d#/sys/fs/cgroup/memory}/cpuacct.usage" || { read -r _ cpu <"$d/cpu.stat"; cpu=${cpu}000; }; } 2>/dev/null
    echo "$d $memory $cpu"
  done
  sleep 1
done`

// sample reads the control groups of all containers until stop is called. stop returns what it saw,
// by the path of the control group.
func (s *space) sample() (stop func() map[string]footprint) {
	s.t.Helper()
	var group sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]footprint{}
	file := "/tmp/" + s.name
	for _, node := range s.nodes {
		cmd := exec.CommandContext(s.t.Context(), "docker", "exec", node, "sh", "-c", sampling, "sh", file)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			s.t.Fatal(err)
		}
		group.Go(func() {
			for lines := bufio.NewScanner(out); lines.Scan(); {
				fields := strings.Fields(lines.Text())
				if len(fields) != 3 {
					continue // the container has ended meanwhile
				}
				memory, _ := strconv.ParseInt(fields[1], 10, 64)
				cpu, _ := strconv.ParseInt(fields[2], 10, 64)
				mu.Lock()
				old := seen[fields[0]]
				seen[fields[0]] = footprint{max(old.memory, memory), max(old.cpu, cpu)}
				mu.Unlock()
			}
			if err := cmd.Wait(); err != nil {
				s.t.Errorf("reading the control groups of %s: %v", node, err)
			}
		})
	}
	return func() map[string]footprint {
		for _, node := range s.nodes {
			remove := exec.CommandContext(s.t.Context(), "docker", "exec", node, "rm", "-f", file)
			if _, err := output(remove); err != nil {
				s.t.Fatal(err)
			}
		}
		group.Wait()
		return seen
	}
}

// checkFootprint logs what the steps of a run's pods have used, and checks that it is at most half
// of their limits.
func (s *space) checkFootprint(seen map[string]footprint, run string) {
	s.t.Helper()
	known := 0
	for _, task := range []string{"split", "copy", "report"} {
		for _, pod := range s.pods(run, task) {
			used, limit := footprintOf(seen, pod)
			if used.memory == 0 {
				s.t.Logf("%s of %s ended before it was sampled", task, run)
				continue
			}
			known++
			s.t.Logf("%s of %s used up to %d MiB of memory, and %.1f s of CPU",
				task, run, used.memory>>20, float64(used.cpu)/1e9)
			if used.memory > limit/2 {
				s.t.Errorf("%s of %s used %d MiB of memory, want at most half of its limit of %d MiB",
					task, run, used.memory>>20, limit>>20)
			}
		}
	}
	if known == 0 {
		s.t.Errorf("no pod of %s was sampled: the control groups are elsewhere", run)
	}
}

// footprintOf returns what the step of a pod used, and its memory limit.
func footprintOf(seen map[string]footprint, pod corev1.Pod) (used footprint, limit int64) {
	status := step(pod)
	for _, c := range pod.Spec.Containers {
		if c.Name == status.Name {
			limit = c.Resources.Limits.Memory().Value()
		}
	}
	_, id, _ := strings.Cut(status.ContainerID, "//")
	for path, f := range seen {
		if id != "" && strings.Contains(path, id) {
			used = f
		}
	}
	return used, limit
}

// step returns the status of a pod's step.
func step(pod corev1.Pod) corev1.ContainerStatus {
	for _, status := range pod.Status.ContainerStatuses {
		if strings.HasPrefix(status.Name, "step-") {
			return status
		}
	}
	return corev1.ContainerStatus{}
}
