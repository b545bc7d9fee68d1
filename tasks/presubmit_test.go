package tasks

import (
	"slices"
	"testing"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
)

func presubmit(t *testing.T) *v1.Pipeline {
	t.Helper()
	p := &v1.Pipeline{}
	load(t, "../pipelines/presubmit.yaml", p)
	return p
}

// The Pipeline for pull requests has the parameters, workspaces and descriptions of its Task.
func TestPresubmitPassesEverythingToItsTask(t *testing.T) {
	p, check := presubmit(t), &v1.Task{}
	load(t, "check/check.yaml", check)
	use := p.Spec.Tasks[0]
	if use.TaskRef.Name != check.Name {
		t.Fatalf("the Pipeline runs %s", use.TaskRef.Name)
	}
	for _, param := range check.Spec.Params {
		declared := slices.ContainsFunc(p.Spec.Params, func(s v1.ParamSpec) bool {
			return s.Name == param.Name && s.Description == param.Description && s.Default.StringVal == param.Default.StringVal
		})
		given := slices.ContainsFunc(use.Params, func(g v1.Param) bool { return g.Name == param.Name && g.Value.StringVal == "$(params."+param.Name+")" })
		if !declared || !given {
			t.Errorf("the parameter %s is not passed on unchanged", param.Name)
		}
	}
	for _, w := range check.Spec.Workspaces {
		declared := slices.ContainsFunc(p.Spec.Workspaces, func(d v1.PipelineWorkspaceDeclaration) bool {
			return d.Name == w.Name && d.Description == w.Description && d.Optional == w.Optional
		})
		if !declared || !uses(use, w.Name) {
			t.Errorf("the workspace %s is not passed on unchanged", w.Name)
		}
	}
}

// Anybody can open a pull request, so that its check gets no secret and no token of the cluster.
func TestPresubmitHasNoSecrets(t *testing.T) {
	run := &v1.PipelineRun{}
	load(t, "../pipelines/samples/presubmit.yaml", run)
	for _, w := range run.Spec.Workspaces {
		if w.Secret != nil || w.Projected != nil {
			t.Errorf("the workspace %s is a secret", w.Name)
		}
	}
	if pod := run.Spec.TaskRunTemplate.PodTemplate; pod == nil || pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		t.Error("its pods have a token")
	}
	byName := map[string]v1.PipelineTask{}
	for _, task := range run.Spec.PipelineSpec.Tasks {
		byName[task.TaskRef.Name] = task
	}
	if check := byName["mirror-check"]; !uses(check, "sets") || !slices.Equal(check.RunAfter, []string{byName["git-clone"].Name}) {
		t.Errorf("the check is %+v, want one that runs after the clone", check)
	}
}
