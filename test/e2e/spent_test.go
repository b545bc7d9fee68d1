//go:build e2e

package e2e

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"imagemirror/internal/registrytest"
)

const attempts = 4 // the Pipeline's retries of copy, and one

// Where all retries are spent, report names each mapping that is unfinished, with its place. What could arrive has.
func TestRetriesSpent(t *testing.T) {
	t.Parallel()
	t.Run("registry that hangs", func(t *testing.T) {
		s := newSpace(t)
		tags := s.fill(forty)
		const stuck = "app-3:"
		release := hold(s.destination, registrytest.FaultRule{Kind: "PUT manifest", Path: regexp.MustCompile(`/mirror/app-3/manifests/`)})
		defer release()
		s.start("spent", "set", func(run *v1.PipelineRun) {
			param(run, "shards", "2")
			run.Spec.TaskRunSpecs = []v1.PipelineTaskRunSpec{{PipelineTaskName: "copy", Timeout: &metav1.Duration{Duration: 45 * time.Second}}}
		})
		e := s.await("spent")
		e.report = s.fetch("spent")
		s.checkEnd(e, false, "4 of 40 mappings failed")
		s.checkCounts(e.report, 40, 36, 0, 4, 0)
		s.checkUnfinishedOnly(e.report, tags, stuck, "interrupted")
		s.checkAttempts("spent", 1)
	})
	t.Run("pods that die", func(t *testing.T) {
		s := newSpace(t)
		tags := s.fill(forty)
		release := s.hold(0)
		defer release()
		s.start("spent", "set", shards(1))
		killed := map[string]bool{}
		for len(killed) < attempts {
			var pod corev1.Pod
			s.until("the next attempt", func() bool {
				for _, pod = range s.pods("spent", "copy") {
					if !killed[pod.Name] && step(pod).State.Running != nil {
						return true
					}
				}
				return false
			})
			killed[pod.Name] = true
			s.kill(pod)
		}
		e := s.await("spent")
		e.report = s.fetch("spent")
		s.checkEnd(e, false, "40 of 40 mappings failed")
		s.checkCounts(e.report, 40, 0, 0, 40, 0)
		s.checkUnfinishedOnly(e.report, tags, "app-", "no result: shard s0 did not run or did not finish")
		s.checkAttempts("spent", 1)
	})
}

// kill ends a pod's step with SIGKILL, as the kernel does where memory runs out. A pod that is deleted by force would not do: Tekton makes
// it anew, and counts no retry.
func (s *space) kill(pod corev1.Pod) {
	s.t.Helper()
	_, id, _ := strings.Cut(step(pod).ContainerID, "//")
	const processes = `kill -9 $(grep -l "$1" /proc/[0-9]*/cgroup | cut -d / -f 3)`
	if _, err := output(exec.CommandContext(s.t.Context(), "docker", "exec", pod.Spec.NodeName, "sh", "-c", processes, "sh", id)); err != nil {
		s.t.Fatal(err)
	}
}

// checkUnfinishedOnly holds the failures of a report to the mappings of some tags, each with its file and line.
func (s *space) checkUnfinishedOnly(r *report, tags []string, which, says string) {
	s.t.Helper()
	line := map[string]int{}
	for i, tag := range tags {
		line[s.destination.Host+"/mirror/"+tag] = i + 1
	}
	for _, result := range r.Results {
		if failed := strings.Contains(result.Destination, "/mirror/"+which); failed != (result.Status == "failed") {
			s.t.Errorf("%+v, want it failed: %v", result, failed)
		}
		if result.Status == "failed" && (result.Line != line[result.Destination] || result.File != "image-sets/"+set+"/mapping_payments" || !strings.Contains(result.Error, says)) {
			s.t.Errorf("%+v, want line %d and %q", result, line[result.Destination], says)
		}
	}
}

// checkAttempts holds so many of a run's copies to all their attempts.
func (s *space) checkAttempts(run string, copies int) {
	s.t.Helper()
	runs := &v1.TaskRunList{}
	s.list(runs, "taskruns", partOf(run, "copy"))
	spent := 0
	for _, run := range runs.Items {
		if len(run.Status.RetriesStatus) == attempts-1 {
			spent++
		}
	}
	if spent != copies {
		s.t.Errorf("%d copies have had all their attempts, want %d", spent, copies)
	}
}
