//go:build e2e

package e2e

import (
	"bufio"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"

	"imagemirror/internal/registrytest"
)

// Copies of large images, in shards beside each other, stay far below their limit: layers stream through.
func TestLargeImages(t *testing.T) {
	s := newSpaceWith(t, onDisk)
	tags := s.fill(registrytest.Workload{Repository: "large", Images: 4, Bases: 2, BaseSize: 100 << 20, TopSize: 100 << 20})
	stop := s.sample()
	e := s.finish("large", "set", func(run *v1.PipelineRun) { param(run, "shards", "2") })
	s.checkFootprint(stop(), "large")
	s.checkEnd(e, true, "4 of 4 mappings copied")
	s.checkArrived(tags)
}

// footprint is what a pod's container has taken at most, as its control group says.
type footprint struct{ memory, cpu int64 } // bytes; nanoseconds

// sampling prints what each container of a pod has taken so far, PATH MEMORY CPU, until the file that it is given is gone, or half an
// hour is over. It reads control groups of version 1 and 2, whoever makes them, with what the shell has built in: to start programs
// would take more.
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

// sample looks at the control groups of all containers until it is stopped.
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
					continue // it went as it was looked at
				}
				memory, _ := strconv.ParseInt(fields[1], 10, 64)
				cpu, _ := strconv.ParseInt(fields[2], 10, 64)
				mu.Lock()
				seen[fields[0]] = footprint{max(seen[fields[0]].memory, memory), max(seen[fields[0]].cpu, cpu)}
				mu.Unlock()
			}
			if err := cmd.Wait(); err != nil {
				s.t.Errorf("looking at the control groups of %s: %v", node, err)
			}
		})
	}
	return func() map[string]footprint {
		for _, node := range s.nodes {
			if _, err := output(exec.CommandContext(s.t.Context(), "docker", "exec", node, "rm", "-f", file)); err != nil {
				s.t.Fatal(err)
			}
		}
		group.Wait()
		return seen
	}
}

// checkFootprint logs what the steps of a run's pods have taken, and holds it to half of their limits.
func (s *space) checkFootprint(seen map[string]footprint, run string) {
	s.t.Helper()
	known := 0
	for _, task := range []string{"split", "copy", "report"} {
		for _, pod := range s.pods(run, task) {
			took, limit := footprintOf(seen, pod)
			if took.memory == 0 {
				s.t.Logf("%s of %s was over before it was looked at", task, run)
				continue
			}
			known++
			s.t.Logf("%s of %s took up to %d MiB of memory, and %.1f s of CPU", task, run, took.memory>>20, float64(took.cpu)/1e9)
			if took.memory > limit/2 {
				s.t.Errorf("%s of %s took %d MiB of memory, want half of its limit of %d MiB at most", task, run, took.memory>>20, limit>>20)
			}
		}
	}
	if known == 0 {
		s.t.Errorf("of no pod of %s is it known what it took: the control groups are elsewhere", run)
	}
}

// footprintOf is what the step of a pod took, and its limit of memory.
func footprintOf(seen map[string]footprint, pod corev1.Pod) (took footprint, limit int64) {
	status := step(pod)
	for _, c := range pod.Spec.Containers {
		if c.Name == status.Name {
			limit = c.Resources.Limits.Memory().Value()
		}
	}
	_, id, _ := strings.Cut(status.ContainerID, "//")
	for path, f := range seen {
		if id != "" && strings.Contains(path, id) {
			took = f
		}
	}
	return took, limit
}

// step is the status of a pod's step.
func step(pod corev1.Pod) corev1.ContainerStatus {
	for _, status := range pod.Status.ContainerStatuses {
		if strings.HasPrefix(status.Name, "step-") {
			return status
		}
	}
	return corev1.ContainerStatus{}
}
