//go:build e2e

package e2e

import (
	"context"
	"os/exec"
	"strings"
	"testing"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/pod"
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
)

// ConfigMaps of the state that somebody deletes or cuts while the run goes on are each named in one
// line. They fail the run, but only the mappings that nothing else knows of.
func TestStateCut(t *testing.T) {
	s := newSpace(t)
	tags := s.fill(forty).Tags
	s.mappings("cut", below("mirror/cut", tags)...)
	s.mappings("no-plan", below("mirror/no-plan", tags)...)
	copies, reports := s.gate("cut"), s.gate("no-plan")
	s.start("cut", "cut", shards(3), s.behind("cut", "copy"), s.behind("no-plan", "report"))
	s.start("no-plan", "no-plan", shards(1), s.behind("no-plan", "report"))

	s.awaitPods("cut", "copy", 3)
	s.damage("cut-shard-s0.0", missing)
	copies()
	s.awaitPods("cut", "report", 1)
	s.damage("cut-results-s1-1.0", truncated)
	s.awaitPods("no-plan", "report", 1)
	s.damage("no-plan-plan.0", truncated)
	reports()

	s.checkCut("cut")
	plan := "the ConfigMaps of no-plan-plan are damaged: unexpected EOF"
	s.checkEnd(s.await("no-plan"), false, plan)
	s.checkLog("no-plan", "report", "report: "+plan)

	s.damage("cut-settled.0", missing)
	const settled = "report: the ConfigMaps of cut-settled are damaged: " +
		"getting the ConfigMap cut-settled.0: it does not exist"
	if _, err := s.fetchReport("cut"); err == nil || !strings.Contains(err.Error(), settled) {
		t.Errorf("report ends with %v, want %q", err, settled)
	}
}

// checkCut checks the run that has lost the plan of shard s0 and the results of s1.
func (s *space) checkCut(run string) {
	s.t.Helper()
	s.checkEnd(s.await(run), false, "mappings failed")
	s.checkAttempts(run, 1)
	shard := "the ConfigMaps of cut-shard-s0 are damaged: " +
		"getting the ConfigMap cut-shard-s0.0: it does not exist"
	results := "the ConfigMaps of cut-results-s1-1 are damaged: unexpected EOF"
	s.checkLog(run, "copy", "copy: "+shard)
	s.checkLog(run, "report", results)
	files := s.files(run)
	page := strings.ReplaceAll(string(files["report.md"]), `\-`, "-")
	if !strings.Contains(page, shard) || !strings.Contains(page, results) {
		s.t.Errorf("report.md is\n%swant %q and %q", page, shard, results)
	}
	// The mappings of s0 and s1 have no result. Those of s2 were copied.
	r, became := s.parse(files), map[string]int{}
	for _, result := range r.Results {
		became[result.Status]++
		if result.Status != "failed" {
			continue
		}
		of, _, _ := strings.Cut(result.Error, " did not run or did not finish")
		became[of]++
		s.checkFailed(r, result.Line, "no result: shard s")
	}
	s0, s1 := became["no result: shard s0"], became["no result: shard s1"]
	if s0 == 0 || s1 == 0 || became["copied"] == 0 || s0+s1+became["copied"] != 40 {
		s.t.Errorf("the mappings became %v, want some of each shard", became)
	}
}

func missing(*corev1.ConfigMap) *corev1.ConfigMap { return nil }

func truncated(m *corev1.ConfigMap) *corev1.ConfigMap {
	m.BinaryData["gz"] = m.BinaryData["gz"][:len(m.BinaryData["gz"])/2]
	return m
}

// damage replaces an immutable ConfigMap, as somebody can who may delete it.
func (s *space) damage(name string, how func(*corev1.ConfigMap) *corev1.ConfigMap) {
	s.t.Helper()
	m := &corev1.ConfigMap{}
	s.get(m, "configmaps", name)
	s.delete("configmaps", name)
	if m = how(m); m != nil {
		m.ResourceVersion, m.UID = "", ""
		s.make(m)
	}
}

// awaitPods waits until n pods of a task are there.
func (s *space) awaitPods(run, task string, n int) {
	s.t.Helper()
	s.until("pods of "+task, func() bool { return len(s.pods(run, task)) == n })
}

// gate makes a label that no node has until open is called. Pods behind the gate wait for it.
func (s *space) gate(name string) (open func()) {
	s.t.Helper()
	label := s.gateLabel(name)
	s.t.Cleanup(func() {
		remove := exec.CommandContext(context.Background(), "kubectl",
			"label", "nodes", "--all", label+"-")
		if _, err := output(remove); err != nil {
			s.t.Error(err)
		}
	})
	return func() { s.kubectl("label", "nodes", "--all", label+"=open") }
}

func (s *space) gateLabel(name string) string { return "e2e.imagemirror/" + s.name + "-" + name }

// behind returns a change that makes the pods of a task wait for a gate.
func (s *space) behind(gate, task string) func(*v1.PipelineRun) {
	return func(run *v1.PipelineRun) {
		selector := map[string]string{s.gateLabel(gate): "open"}
		run.Spec.TaskRunSpecs = append(run.Spec.TaskRunSpecs, v1.PipelineTaskRunSpec{
			PipelineTaskName: task, PodTemplate: &pod.PodTemplate{NodeSelector: selector},
		})
	}
}
