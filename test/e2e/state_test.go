//go:build e2e

package e2e

import (
	"context"
	"net/http"
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
	for may, asked := range map[string][]string{
		"yes": {"create configmaps", "get configmaps"},
		"no": {
			"list configmaps", "watch configmaps", "update configmaps", "patch configmaps", "delete configmaps",
			"get secrets", "list secrets", "create pods", "get pods", "create serviceaccounts/token",
		},
	} {
		for _, what := range asked {
			verb, resource, _ := strings.Cut(what, " ")
			// It ends with 1 where the answer is no.
			out, _ := s.Command(t.Context(), "kubectl", "auth", "can-i", verb, resource,
				"--namespace", s.name, "--as=system:serviceaccount:"+s.name+":"+s.name).Output()
			if got := strings.TrimSpace(string(out)); got != may {
				t.Errorf("may the service account %s: %q, want %s", what, got, may)
			}
		}
	}
}

// The tests of the state in ConfigMaps, on this cluster's API server.
func TestConfigMaps(t *testing.T) {
	w := up(t)
	out, err := w.run(t.Context(), []string{"IMAGEMIRROR_TEST_KUBECONFIG=" + w.Kubeconfig},
		"go", "test", "-count=1", "-v", "-run", "ConfigMaps", "./internal/state")
	if err != nil || strings.Contains(string(out), "--- SKIP") || !strings.Contains(string(out), "--- PASS: TestConfigMaps ") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestStateOnAVolume(t *testing.T) {
	s := newSpace(t)
	tags := s.fill(forty)
	s.apply(`
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: state}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 16Mi}}
`)
	onVolume := func(run *v1.PipelineRun) {
		sixShards(run)
		run.Spec.Workspaces = append(run.Spec.Workspaces, v1.WorkspaceBinding{
			Name: "state", PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "state"},
		})
	}
	s.start("first", "set", onVolume)
	first := s.await("first")
	s.checkEnd(first, true, "40 of 40 mappings copied")
	s.checkArrived(tags)
	if len(first.copies) != 6 {
		t.Errorf("%d copies ran, want 6", len(first.copies))
	}
	s.destination.Reset()
	s.start("second", "set", onVolume)
	s.checkEnd(s.await("second"), true, "Nothing to copy: 40 mappings up to date")
	s.checkNoCopies("second")
	s.checkNothingWritten()
	if out := s.kubectl("", "get", "configmaps", "--output=name", "--selector=imagemirror/run"); out != "" {
		t.Errorf("with the state on a volume there are the ConfigMaps %s", out)
	}
}

// hold has the destination keep what would make an image visible waiting, after some have passed, until release is called.
func (s *space) hold(after int) (release func()) {
	s.t.Helper()
	released := make(chan struct{})
	s.destination.Inject(registrytest.Rule{Name: "hold", Kind: "PUT manifest", After: after, Fault: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-released:
				next.ServeHTTP(w, r)
			case <-r.Context().Done():
			}
		})
	}})
	return func() {
		s.destination.Heal()
		close(released)
	}
}

// held waits until the destination keeps a request waiting.
func (s *space) held() {
	s.t.Helper()
	for patience := time.Now().Add(2 * time.Minute); s.destination.Stats().Faults == 0; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(patience) {
			s.t.Fatal("no copy has come to the first image that is held")
		}
	}
}

// A copy that loses its pod in the middle is tried again, and nothing is lost and nothing doubled.
func TestCopyLosesItsPod(t *testing.T) {
	for _, c := range []struct {
		name string
		lose func(*space, corev1.Pod)
	}{
		{"deleted", func(s *space, pod corev1.Pod) { s.kubectl("", "delete", "pod", pod.Name) }},
		{"drained", func(s *space, pod corev1.Pod) {
			s.t.Cleanup(func() {
				if _, err := output(s.Command(context.Background(), "kubectl", "uncordon", pod.Spec.NodeName)); err != nil {
					s.t.Error(err)
				}
			})
			// Tekton itself stays where it is.
			s.kubectl("", "drain", pod.Spec.NodeName, "--force", "--ignore-daemonsets", "--delete-emptydir-data",
				"--pod-selector=tekton.dev/pipelineTask=copy")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSpace(t)
			tags := s.fill(forty)
			release := s.hold(8)
			s.start(c.name, "set", sixShards)
			s.held()
			c.lose(s, s.running(c.name))
			release()
			e := s.await(c.name)
			e.report = s.fetch(c.name)
			s.checkEnd(e, true, "40 of 40 mappings copied")
			s.checkCounts(e.report, 40, 40, 0, 0, 0)
			s.checkArrived(tags)
			s.checkRetried()
		})
	}
}

// running is the pod of a copy that runs.
func (s *space) running(run string) corev1.Pod {
	s.t.Helper()
	for _, pod := range s.pods(run, "copy") {
		if pod.Status.Phase == corev1.PodRunning {
			return pod
		}
	}
	s.t.Fatal("no copy runs")
	return corev1.Pod{}
}

func (s *space) checkRetried() {
	s.t.Helper()
	runs := &v1.TaskRunList{}
	s.get(runs, "taskruns", "--selector=tekton.dev/pipelineTask=copy")
	retries := 0
	for _, run := range runs.Items {
		retries += len(run.Status.RetriesStatus)
	}
	if len(runs.Items) != 6 || retries == 0 {
		s.t.Errorf("there are %d copies with %d retries, want 6 with one or more", len(runs.Items), retries)
	}
}

// A run that is ended from outside has a report of what is unfinished where Tekton still runs report, leaves no tag without its
// image, and the next run completes it.
func TestRunEndedFromOutside(t *testing.T) {
	stop := func(how string) func(*space) {
		return func(s *space) {
			s.kubectl("", "patch", "pipelinerun", "ended", "--type=merge", `--patch={"spec":{"status":"`+how+`"}}`)
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
			Pipeline: &metav1.Duration{Duration: 3 * time.Minute},
			Tasks:    &metav1.Duration{Duration: 30 * time.Second},
			Finally:  &metav1.Duration{Duration: 2 * time.Minute},
		}, func(*space) {}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSpace(t)
			tags := s.fill(forty)
			release := s.hold(8)
			s.start("ended", "set", func(run *v1.PipelineRun) {
				sixShards(run)
				if c.timeouts != nil {
					run.Spec.Timeouts = c.timeouts
				}
			})
			s.held()
			c.end(s)
			e := s.await("ended")
			s.checkUnfinished(e, c.reports)
			release()
			s.checkEnd(s.finish("next", "set", sixShards), true, "of 40 mappings copied")
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
