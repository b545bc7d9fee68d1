//go:build e2e

package e2e

import (
	"context"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"imagemirror/internal/registrytest"
)

const attempts = 4 // the first, and the Pipeline's retries of copy

// When all retries are spent on processes that are killed and at last on a registry that hangs, the
// report names each mapping that is unfinished, with its line. The others have arrived.
func TestRetriesSpent(t *testing.T) {
	s := newSpace(t)
	requireNodes(t)
	content := s.fill(forty)
	s.holdTags("mirror/app-3", 0)
	s.start("spent", "set", shards(1), func(run *v1.PipelineRun) {
		run.Spec.TaskRunSpecs = []v1.PipelineTaskRunSpec{{
			// Even on a busy machine, a pod starts in this time and copies what is not held.
			PipelineTaskName: "copy", Timeout: &metav1.Duration{Duration: 90 * time.Second},
		}}
	})
	var killed []string
	for range attempts - 1 {
		pod := s.running("spent", 1, killed...)[0]
		s.kill(pod)
		killed = append(killed, pod.Name)
	}
	e := s.awaitReport("spent")
	s.checkEnd(e, false, "4 of 40 mappings failed")
	s.checkCounts(e.report, 40, 36, 0, 4, 0)
	s.checkAttempts("spent", 1)
	for i, tag := range content.Tags {
		if strings.HasPrefix(tag, "app-3:") {
			s.checkFailed(e.report, i+1, "interrupted")
		} else {
			s.checkArrived("mirror", tag)
		}
	}
}

// checkAttempts checks how many of a run's copies have had all their attempts.
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

// A run that is ended from outside leaves no tag without its image. If Tekton still runs report, it
// reports what is unfinished. The next run completes it.
func TestRunEndedFromOutside(t *testing.T) {
	s := newSpace(t)
	tags := registrytest.Fill(t, s.sources, forty).Tags
	timeouts := func(run *v1.PipelineRun) {
		run.Spec.Timeouts = &v1.TimeoutFields{
			Pipeline: &metav1.Duration{Duration: 9 * time.Minute},
			// By then a copy has requests that are held, even if other tests want pods.
			Tasks:   &metav1.Duration{Duration: 3 * time.Minute},
			Finally: &metav1.Duration{Duration: 5 * time.Minute},
		}
	}
	stop := func(run, how string) {
		patch := `--patch={"spec":{"status":"` + how + `"}}`
		s.kubectl("patch", "pipelinerun", run, "--type=merge", patch)
	}
	cases := []struct {
		run     string
		change  func(*v1.PipelineRun)
		stop    func(run string)
		reports bool
	}{
		{"timeout", timeouts, func(string) {}, true},
		{"finally", params(), func(run string) { stop(run, "CancelledRunFinally") }, true},
		{"cancelled", params(), func(run string) { stop(run, "Cancelled") }, false},
	}
	holds := map[string]*held{}
	for _, c := range cases { // all at once, which is faster
		holds[c.run] = s.holdTags("mirror/"+c.run, 8)
		s.mappings(c.run, below("mirror/"+c.run, tags)...)
		s.start(c.run, c.run, shards(1), c.change)
	}
	for _, c := range cases {
		s.awaitHeld(holds[c.run], 1)
		c.stop(c.run)
	}
	for _, c := range cases {
		s.checkUnfinished(c.run, c.reports)
		holds[c.run].release()
	}
	s.checkEnd(s.finish("next", "cancelled", shards(1)), true, "of 40 mappings copied")
	s.checkArrived("mirror/cancelled", tags...)
}

// checkUnfinished checks a run of which up to 8 manifests have arrived: its report, and that each
// tag that is there has its image.
func (s *space) checkUnfinished(run string, reports bool) {
	s.t.Helper()
	e := s.await(run)
	if e.succeeded || (e.summary != "") != reports {
		s.t.Errorf("%s succeeded: %v, with the summary %q", run, e.succeeded, e.summary)
	}
	r := s.parse(s.files(run))
	if r.Summary.Failed < 32 || len(r.Results) != 40 {
		s.t.Errorf("%s: %d results, and %+v; want 40 results and 32 failures or more",
			run, len(r.Results), r.Summary)
	}
	for _, result := range r.Results {
		_, tag, _ := strings.Cut(result.Destination, "/mirror/"+run+"/")
		if result.Status == "failed" && result.Error == "" {
			s.t.Errorf("%s: %s failed without an error", run, tag)
		}
		if result.Status == "copied" {
			s.checkArrived("mirror/"+run, tag)
		}
	}
}

// Copies whose process is killed, whose pod is deleted and whose node is drained are tried again.
// Nothing is lost and nothing is doubled.
func TestCopiesLoseTheirPods(t *testing.T) {
	s := newSpace(t)
	requireNodes(t)
	tags := s.fill(forty).Tags
	held := s.holdTags("mirror", 8)
	run := "lost-" + s.name // a name that no other namespace has
	s.start(run, "set", shards(3))
	s.awaitHeld(held, 3)
	lost := s.running(run, 3)
	s.kill(lost[0])
	s.delete("pods", lost[1].Name)
	s.drain(lost[2])
	held.release()
	e := s.awaitReport(run)
	s.checkEnd(e, true, "40 of 40 mappings copied")
	s.checkCounts(e.report, 40, 40, 0, 0, 0)
	s.checkArrived("mirror", tags...)
	for _, pod := range lost {
		succeeded := false
		for _, other := range s.replacements(pod) {
			succeeded = succeeded || other.Status.Phase == corev1.PodSucceeded
		}
		if !succeeded {
			t.Errorf("no pod in place of %s has succeeded", pod.Name)
		}
	}
}

// running waits until n pods of a run's copies run, apart from some others, and returns them.
func (s *space) running(run string, n int, others ...string) (pods []corev1.Pod) {
	s.t.Helper()
	s.until("copies that run", func() bool {
		pods = nil
		for _, pod := range s.pods(run, "copy") {
			// After its step has ended, a pod still has the phase Running for a moment.
			runs := pod.Status.Phase == corev1.PodRunning && step(pod).State.Running != nil
			if runs && !slices.Contains(others, pod.Name) {
				pods = append(pods, pod)
			}
		}
		return len(pods) == n
	})
	return pods
}

// kill ends a pod's step with SIGKILL, as the kernel does when memory runs out.
func (s *space) kill(pod corev1.Pod) {
	s.t.Helper()
	_, id, _ := strings.Cut(step(pod).ContainerID, "//")
	const processes = `kill -9 $(grep -l "$1" /proc/[0-9]*/cgroup | cut -d / -f 3)`
	cmd := exec.CommandContext(s.t.Context(), "docker", "exec", pod.Spec.NodeName,
		"sh", "-c", processes, "sh", id)
	if _, err := output(cmd); err != nil {
		s.t.Fatal(err)
	}
}

// drain drains the node of a copy, waits until the copy has another pod, and uncordons the node.
func (s *space) drain(pod corev1.Pod) {
	s.t.Helper()
	nodesLock.Lock()
	defer nodesLock.Unlock()
	node := pod.Spec.NodeName
	defer func() {
		uncordon := exec.CommandContext(context.Background(), "kubectl", "uncordon", node)
		if _, err := output(uncordon); err != nil {
			s.t.Error(err)
		}
	}()
	// Tekton's own pods and those of other tests stay where they are.
	selector := partOf(pod.Labels["tekton.dev/pipelineRun"], "copy")
	s.kubectl("drain", node, "--force", "--ignore-daemonsets", "--delete-emptydir-data",
		"--pod-selector="+selector)
	s.until("another pod in place of "+pod.Name, func() bool {
		for _, other := range s.replacements(pod) {
			if other.Spec.NodeName != "" {
				return true
			}
		}
		return false
	})
}

// replacements returns the pods that a copy got in place of a lost one. Such a pod belongs to a
// retry, or has the same name: if the lost pod was gone before Tekton looked, Tekton creates it
// again and counts no retry.
func (s *space) replacements(lost corev1.Pod) (pods []corev1.Pod) {
	s.t.Helper()
	for _, pod := range s.pods(lost.Labels["tekton.dev/pipelineRun"], "copy") {
		same := pod.Labels["tekton.dev/taskRun"] == lost.Labels["tekton.dev/taskRun"]
		if same && pod.UID != lost.UID {
			pods = append(pods, pod)
		}
	}
	return pods
}
