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

// A ConfigMap of the state that somebody cut, between the task that wrote it and the one that reads it, is told of in one line, fails
// the run, and costs no mapping but those that only it knew.
func TestStateCut(t *testing.T) {
	s := newSpace(t)
	tags := s.fill(forty)
	const shard, results = "shard-s0.0", "results-s0-1.0"
	const cutShard = "the ConfigMaps of RUN-shard-s0 were cut or changed: "
	cases := []struct {
		run, cut, from string // from: the task that reads it first
		damage         func(*corev1.ConfigMap) *corev1.ConfigMap
		says           string // the one line
		finds          string // the run's summary; empty: the line as well
		failed         string // each mapping of s0; empty: there is no report
	}{
		{"shard-missing", shard, "copy", missing, cutShard + "getting the ConfigMap RUN-shard-s0.0: it is not there", "mappings failed",
			"no result: shard s0 did not run or did not finish"},
		{"shard-truncated", shard, "copy", truncated, cutShard + "unexpected EOF", "mappings failed",
			"no result: shard s0 did not run or did not finish"},
		{"results-truncated", results, "report", truncated, "the ConfigMaps of RUN-results-s0-1 were cut or changed: unexpected EOF", "mappings failed",
			"no result: shard s0 did not run or did not finish"},
		{"plan-truncated", "plan.0", "report", truncated, "the ConfigMaps of RUN-plan were cut or changed: unexpected EOF", "", ""},
		{"settled-missing", "settled.0", "report", missing, "the ConfigMaps of RUN-settled were cut or changed: getting the ConfigMap RUN-settled.0: it is not there", "", ""},
	}
	for _, c := range cases {
		t.Run(c.run, func(t *testing.T) {
			s := s.within(t)
			t.Parallel()
			s.mappings(c.run, below(c.run, tags)...)
			open := s.gate(c.run)
			s.start(c.run, c.run, func(run *v1.PipelineRun) {
				param(run, "shards", "2")
				s.behindGate(run, c.from)
			})
			s.until("the pod of "+c.from, func() bool { return len(s.pods(c.run, c.from)) > 0 })
			s.damage(c.run+"-"+c.cut, c.damage)
			open()
			e := s.await(c.run)
			says := strings.ReplaceAll(c.says, "RUN", c.run)
			if c.finds == "" {
				c.finds = says
			}
			s.checkEnd(e, false, c.finds)
			s.checkSaid(c.run, c.from, says)
			if c.failed == "" {
				return
			}
			s.checkHalf(s.fetch(c.run), c.failed)
			if page := string(s.files(c.run)["report.md"]); !strings.Contains(page, strings.ReplaceAll(says, "-", `\-`)) && !strings.Contains(page, says) {
				t.Errorf("report.md says\n%swant %q", page, says)
			}
		})
	}
}

func missing(*corev1.ConfigMap) *corev1.ConfigMap { return nil }

func truncated(m *corev1.ConfigMap) *corev1.ConfigMap {
	m.BinaryData["gz"] = m.BinaryData["gz"][:len(m.BinaryData["gz"])/2]
	return m
}

// damage changes a ConfigMap that cannot be changed, as somebody would who may delete it.
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

// below is mappings of tags to destinations that no other run has.
func below(run string, tags []string) []string {
	var lines []string
	for _, tag := range tags {
		lines = append(lines, tag+" mirror/"+run+"/"+tag)
	}
	return lines
}

// checkSaid holds the pods of a task to a line that they end with.
func (s *space) checkSaid(run, task, line string) {
	s.t.Helper()
	said := s.kubectl("logs", "--selector="+partOf(run, task), "--container=step-"+task, "--tail=-1")
	for l := range strings.Lines(said) {
		if strings.HasPrefix(l, task+": "+line) {
			return
		}
	}
	if task != "report" || !strings.Contains(said, line) { // what report can do without is in its table
		s.t.Errorf("%s says\n%swant a line with %q", task, said, line)
	}
}

// checkHalf holds a report to the mappings of one of two shards that have no result, with their place, and the others copied.
func (s *space) checkHalf(r *report, says string) {
	s.t.Helper()
	failed := 0
	for _, result := range r.Results {
		switch {
		case result.Status == "failed":
			failed++
			if !strings.Contains(result.Error, says) || result.File != "image-sets/"+set+"/mapping_payments" || result.Line < 1 {
				s.t.Errorf("%+v, want a failure with its place and %q", result, says)
			}
		case result.Status != "copied":
			s.t.Errorf("%+v, want it copied or failed", result)
		}
	}
	if failed == 0 || failed == 40 || len(r.Results) != 40 {
		s.t.Errorf("%d of %d mappings failed, want those of one of two shards", failed, len(r.Results))
	}
}

// gate is a label that no node has until it is opened: pods that want it wait.
func (s *space) gate(run string) (open func()) {
	s.t.Helper()
	label := gateLabel + s.name + "-" + run
	s.t.Cleanup(func() {
		if _, err := output(exec.CommandContext(context.Background(), "kubectl", "label", "nodes", "--all", label+"-")); err != nil {
			s.t.Error(err)
		}
	})
	return func() { s.kubectl("label", "nodes", "--all", label+"=open") }
}

const gateLabel = "e2e.imagemirror/"

// behindGate has the pods of a task wait for the run's gate.
func (s *space) behindGate(run *v1.PipelineRun, task string) {
	run.Spec.TaskRunSpecs = append(run.Spec.TaskRunSpecs, v1.PipelineTaskRunSpec{
		PipelineTaskName: task,
		PodTemplate:      &pod.PodTemplate{NodeSelector: map[string]string{gateLabel + s.name + "-" + run.Name: "open"}},
	})
}
