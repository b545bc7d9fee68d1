// Package tektontest checks PipelineRuns against their Pipeline, for tests.
package tektontest

import (
	"slices"
	"testing"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
)

// CheckFits fails a test if a run has parameters or workspaces that its Pipeline does not declare.
func CheckFits(tb testing.TB, p *v1.Pipeline, run *v1.PipelineRun) {
	tb.Helper()
	for _, param := range run.Spec.Params {
		if !slices.ContainsFunc(p.Spec.Params, func(s v1.ParamSpec) bool { return s.Name == param.Name }) {
			tb.Errorf("the pipeline has no parameter %s", param.Name)
		}
	}
	for _, w := range run.Spec.Workspaces {
		if !slices.ContainsFunc(p.Spec.Workspaces, func(d v1.PipelineWorkspaceDeclaration) bool { return d.Name == w.Name }) {
			tb.Errorf("the pipeline has no workspace %s", w.Name)
		}
	}
}
