//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"imagemirror/internal/registrytest"
)

// The samples and the tests of all Tasks, applied as they are, end as their annotations say.
func TestCatalog(t *testing.T) {
	s := newSpace(t)
	image := registrytest.NewImage(registrytest.OCI, "app", runtime.GOARCH,
		registrytest.NewLayer("app", 1<<10))
	registrytest.Push(t, s.sources.Host+"/team/app:v1", image)
	s.configMap("registries", map[string]string{"registries.conf": fmt.Sprintf(`
[[registry]]
prefix = "source.example.com"
location = %q
insecure = true
[[registry]]
prefix = "destination.example.com"
location = %q
insecure = true
`, s.source.Host, s.destination.Host)})
	samples, err := filepath.Glob("../../tasks/*/samples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tests, err := filepath.Glob("../../tasks/*/tests/run.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var runs []*metav1.PartialObjectMetadata
	for _, file := range append(samples, tests...) { // all at once, which is faster
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s.apply(string(content))
		runs = append(runs, runsOf(t, content)...)
	}
	if len(runs) < len(samples)+len(tests) {
		t.Fatalf("%d files have %d runs", len(samples)+len(tests), len(runs))
	}
	for _, run := range runs {
		s.checkRun(run)
	}
	for _, to := range []string{"sample-copy", "copy-copies"} {
		from, to := s.sources.Host+"/team/app:v1", s.copies.Host+"/mirror/"+to+":v1"
		if err := registrytest.Validate(t.Context(), from, to); err != nil {
			t.Error(err)
		}
	}
}

// runsOf returns the metadata of the TaskRuns and PipelineRuns in YAML documents.
func runsOf(t *testing.T, content []byte) []*metav1.PartialObjectMetadata {
	t.Helper()
	var runs []*metav1.PartialObjectMetadata
	for _, document := range strings.Split(string(content), "\n---\n") {
		object := &metav1.PartialObjectMetadata{}
		if err := yaml.Unmarshal([]byte(document), object); err != nil {
			t.Fatal(err)
		}
		if object.Kind == "TaskRun" || object.Kind == "PipelineRun" {
			runs = append(runs, object)
		}
	}
	return runs
}

// checkRun waits for the end of a run, and checks it against its annotations.
func (s *space) checkRun(run *metav1.PartialObjectMetadata) {
	s.t.Helper()
	ended := &v1.TaskRun{} // a PipelineRun has its conditions and its end in the same places
	s.until("the end of "+run.Name, func() bool {
		s.get(ended, strings.ToLower(run.Kind)+"s", run.Name)
		return ended.Status.CompletionTime != nil
	})
	condition := ended.Status.GetCondition("Succeeded")
	if condition.IsTrue() == (run.Annotations["imagemirror/ends"] == "Failed") {
		s.t.Errorf("%s %s: %s: %s", run.Kind, run.Name, condition.Reason, condition.Message)
	}
	label := "tekton.dev/taskRun"
	if run.Kind == "PipelineRun" {
		label = "tekton.dev/pipelineRun"
	}
	// The affinity assistant of a PipelineRun is not a pod of a task. It is gone after the run.
	log := s.kubectl("logs", "--selector=tekton.dev/taskRun,"+label+"="+run.Name,
		"--all-containers", "--tail=-1")
	if says := run.Annotations["imagemirror/says"]; !strings.Contains(log, says) {
		s.t.Errorf("%s %s: the log is\n%swant %q", run.Kind, run.Name, log, says)
	}
}
