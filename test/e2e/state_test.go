//go:build e2e

package e2e

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"imagemirror/internal/registrytest"
)

// The service account of a set may do what the state needs, and nothing beside it.
func TestRights(t *testing.T) {
	s := newSpace(t)
	s.checkMay(s.name, []string{"create configmaps", "get configmaps"}, []string{
		"list configmaps", "watch configmaps", "update configmaps", "patch configmaps", "delete configmaps",
		"get secrets", "list secrets", "create pods", "get pods", "create serviceaccounts/token",
	})
}

// The tests of the state in ConfigMaps, on this cluster's API server.
func TestConfigMaps(t *testing.T) {
	t.Parallel()
	w := up(t)
	out, err := w.run(t.Context(), []string{"IMAGEMIRROR_TEST_KUBECONFIG=" + os.Getenv(kubeconfigVar)},
		"go", "test", "-count=1", "-v", "-run", "ConfigMaps", "./internal/state")
	if err != nil || strings.Contains(string(out), "--- SKIP") || !strings.Contains(string(out), "--- PASS: TestConfigMaps ") {
		t.Errorf("%v\n%s", err, out)
	}
}

// hold has the destination keep what would make an image visible waiting, after some have passed, until release is called.
func (s *space) hold(after int) (release func()) {
	return hold(s.destination, registrytest.FaultRule{Kind: "PUT manifest", After: after})
}

// hold has a registry keep requests waiting until release is called.
func hold(p *registrytest.Proxy, which registrytest.FaultRule) (release func()) {
	released := make(chan struct{})
	which.Name, which.Fault = "hold", func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-released:
				next.ServeHTTP(w, r)
			case <-r.Context().Done():
			}
		})
	}
	p.Inject(which)
	return func() {
		p.Heal()
		close(released)
	}
}

// held waits until a fault of the destination has struck.
func (s *space) held() {
	s.t.Helper()
	s.until("a request that is held, or fails", func() bool { return s.destination.Stats().Faults > 0 })
}

// A copy that loses its pod in the middle is tried again, and nothing is lost and nothing doubled.
func TestCopyLosesItsPod(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		lose func(*space, corev1.Pod)
	}{
		{"deleted", func(s *space, pod corev1.Pod) { s.delete("pods", pod.Name) }},
		{"drained", func(s *space, pod corev1.Pod) {
			nodesLock.Lock()
			defer nodesLock.Unlock()
			defer func() {
				if _, err := output(exec.CommandContext(context.Background(), "kubectl", "uncordon", pod.Spec.NodeName)); err != nil {
					s.t.Error(err)
				}
			}()
			// Tekton itself, and other tests' pods, stay where they are.
			s.kubectl("drain", pod.Spec.NodeName, "--force", "--ignore-daemonsets", "--delete-emptydir-data",
				"--pod-selector=tekton.dev/pipelineTask=copy,tekton.dev/pipelineRun="+pod.Labels["tekton.dev/pipelineRun"])
			s.retried(pod)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSpace(t)
			tags := s.fill(forty)
			release := s.hold(8)
			run := c.name + "-" + s.name // which no other namespace has
			s.start(run, "set", shards(3))
			s.held()
			lost := s.running(run)
			c.lose(s, lost)
			release()
			e := s.await(run)
			e.report = s.fetch(run)
			s.checkEnd(e, true, "40 of 40 mappings copied")
			s.checkCounts(e.report, 40, 40, 0, 0, 0)
			s.checkArrived(tags)
			if pod := s.another(lost); pod == nil || pod.Status.Phase != corev1.PodSucceeded {
				t.Errorf("in place of %s there is %+v, want a pod that has done its work", lost.Name, pod)
			}
		})
	}
}

// running is the pod of a copy that runs.
func (s *space) running(run string) corev1.Pod {
	s.t.Helper()
	for _, pod := range s.pods(run, "copy") {
		// One whose work is done has the phase of a pod that runs for a moment more.
		if pod.Status.Phase == corev1.PodRunning && step(pod).State.Running != nil {
			return pod
		}
	}
	s.t.Fatal("no copy runs")
	return corev1.Pod{}
}

// retried waits until a copy that lost its pod has another, on some node.
func (s *space) retried(lost corev1.Pod) {
	s.t.Helper()
	s.until("another pod in place of "+lost.Name, func() bool {
		another := s.another(lost)
		return another != nil && another.Spec.NodeName != ""
	})
}

// another is the pod that a copy has got in place of a lost one: a retry's, or one of the same name, which Tekton makes where the lost pod
// was gone before it looked, and counts as no retry.
func (s *space) another(lost corev1.Pod) *corev1.Pod {
	s.t.Helper()
	for _, pod := range s.pods(lost.Labels["tekton.dev/pipelineRun"], "copy") {
		if pod.Labels["tekton.dev/taskRun"] == lost.Labels["tekton.dev/taskRun"] && pod.UID != lost.UID {
			return &pod
		}
	}
	return nil
}

// A run that is ended from outside has a report of what is unfinished where Tekton still runs report, leaves no tag without its
// image, and the next run completes it.
func TestRunEndedFromOutside(t *testing.T) {
	t.Parallel()
	stop := func(how string) func(*space) {
		return func(s *space) {
			s.kubectl("patch", "pipelinerun", "ended", "--type=merge", `--patch={"spec":{"status":"`+how+`"}}`)
		}
	}
	for _, c := range []struct {
		name     string
		timeouts *v1.TimeoutFields
		end      func(*space)
		reports  bool
	}{
		{"CancelledRunFinally", nil, stop("CancelledRunFinally"), true},
		{"Cancelled", nil, stop("Cancelled"), false},
		{"timeout", &v1.TimeoutFields{
			Pipeline: &metav1.Duration{Duration: 8 * time.Minute},
			Tasks:    &metav1.Duration{Duration: 3 * time.Minute}, // by when copies are held, also where other tests want pods, too
			Finally:  &metav1.Duration{Duration: 5 * time.Minute},
		}, func(*space) {}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSpace(t)
			tags := s.fill(forty)
			release := s.hold(8)
			s.start("ended", "set", func(run *v1.PipelineRun) {
				shards(2)(run)
				if c.timeouts != nil {
					run.Spec.Timeouts = c.timeouts
				}
			})
			s.held()
			c.end(s)
			e := s.await("ended")
			s.checkUnfinished(e, c.reports)
			release()
			if c.reports {
				return // and so the next run has it no harder
			}
			s.checkEnd(s.finish("next", "set", shards(2)), true, "of 40 mappings copied")
			s.checkArrived(tags)
		})
	}
}

// checkUnfinished holds a run, of which 8 manifests at most have arrived, to its report; and each tag that is there to its image.
func (s *space) checkUnfinished(e *ended, reports bool) {
	s.t.Helper()
	if e.succeeded || (e.summary != "") != reports {
		s.t.Errorf("the run succeeded: %v, with the summary %q", e.succeeded, e.summary)
	}
	r := s.fetch("ended")
	if r.Summary.Failed < 32 || len(r.Results) != 40 {
		s.t.Errorf("%d results, and %+v; want 40 results and 32 failures or more", len(r.Results), r.Summary)
	}
	for _, result := range r.Results {
		_, tag, _ := strings.Cut(result.Destination, "/mirror/")
		if result.Status == "failed" && result.Error == "" {
			s.t.Errorf("%s has failed, and nothing says why", tag)
		}
		if result.Status == "copied" {
			s.checkArrived([]string{tag})
		}
	}
}
