package tasks

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// Each Task has a README, samples and tests, as in a catalog, and they use the Task as it is.
// TestCatalog in test/e2e runs them.
func TestSamplesUseTheirTask(t *testing.T) {
	byName := named(t)
	seen := map[string]string{}
	for file, task := range tasks(t) {
		dir := filepath.Dir(file)
		samples, err := filepath.Glob(filepath.Join(dir, "samples", "*.yaml"))
		if err != nil || len(samples) == 0 {
			t.Errorf("%s has no samples (%v)", dir, err)
		}
		for _, file := range append(samples, filepath.Join(dir, "tests", "run.yaml")) {
			used := checkFile(t, file, byName, seen)
			if !used[task.Name] {
				t.Errorf("%s does not use %s", file, task.Name)
			}
		}
	}
}

// checkFile checks the runs in a file against the tasks that they use, and returns the names of
// those tasks. All files are applied to one namespace.
func checkFile(t *testing.T, file string, byName map[string]*v1.Task, seen map[string]string) map[string]bool {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Error(err)
	}
	used := map[string]bool{}
	for _, document := range strings.Split(string(content), "\n---\n") {
		meta := &metav1.PartialObjectMetadata{}
		if err := yaml.Unmarshal([]byte(document), meta); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		where := meta.Kind + " " + meta.Name
		if other := seen[where]; other != "" || meta.Name == "" || meta.Namespace != "" {
			t.Errorf("%s: %s has a namespace, or the same name as an object in %s", file, where, other)
		}
		seen[where] = file
		for _, use := range runs(t, file, meta.Kind, document) {
			if use.TaskRef == nil {
				continue // its steps are its own
			}
			used[use.TaskRef.Name] = true
			checkUse(t, file+": "+where, byName[use.TaskRef.Name], use)
		}
	}
	return used
}

// runs returns the uses of tasks in a run. A TaskRun uses one task, as a pipeline of one would.
func runs(t *testing.T, file, kind, document string) []v1.PipelineTask {
	t.Helper()
	switch kind {
	case "TaskRun":
		run := &v1.TaskRun{}
		decode(t, file, []byte(document), run)
		use := v1.PipelineTask{Name: run.Name, TaskRef: run.Spec.TaskRef, Params: run.Spec.Params}
		for _, w := range run.Spec.Workspaces {
			use.Workspaces = append(use.Workspaces, v1.WorkspacePipelineTaskBinding{Name: w.Name})
		}
		return []v1.PipelineTask{use}
	case "PipelineRun":
		run := &v1.PipelineRun{}
		decode(t, file, []byte(document), run)
		if run.Spec.PipelineSpec == nil {
			return nil // of a Pipeline
		}
		return append(run.Spec.PipelineSpec.Tasks, run.Spec.PipelineSpec.Finally...)
	}
	return nil // what a run needs
}

func checkUse(t *testing.T, where string, task *v1.Task, use v1.PipelineTask) {
	t.Helper()
	if task == nil {
		t.Errorf("%s: there is no task %s", where, use.TaskRef.Name)
		return
	}
	params := use.Params
	if use.Matrix != nil {
		params = append(params, use.Matrix.Params...)
	}
	checkParams(t, where, task, params)
	declared := map[string]bool{}
	for _, w := range task.Spec.Workspaces {
		declared[w.Name] = true
		if !w.Optional && !uses(use, w.Name) {
			t.Errorf("%s: the workspace %s is not given", where, w.Name)
		}
	}
	for _, w := range use.Workspaces {
		if !declared[w.Name] {
			t.Errorf("%s: %s has no workspace %s", where, task.Name, w.Name)
		}
	}
}
