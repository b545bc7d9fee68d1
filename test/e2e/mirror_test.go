//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"

	"imagemirror/internal/registrytest"
)

var forty = registrytest.Workload{Repository: "app", Images: 40, PerRepo: 4, IndexEvery: 4, Bases: 2, BaseSize: 1 << 20, TopSize: 64 << 10}

// fill pushes images to the sources, and makes the ConfigMap set of mappings that bring all of them below mirror.
func (s *space) fill(w registrytest.Workload) []string {
	s.t.Helper()
	tags := registrytest.Fill(s.t, s.sources, w).Tags
	var lines []string
	for _, tag := range tags {
		lines = append(lines, tag+" mirror/"+tag)
	}
	s.mappings("set", lines...)
	return tags
}

// checkArrived holds every destination to its source.
func (s *space) checkArrived(tags []string) {
	s.t.Helper()
	for _, tag := range tags {
		if err := registrytest.Validate(s.t.Context(), s.sources.Host+"/"+tag, s.copies.Host+"/mirror/"+tag); err != nil {
			s.t.Error(err)
		}
	}
}

// checkCounts holds a report to one result for each mapping, and to how many have which status.
func (s *space) checkCounts(r *report, mappings, copied, current, failed, planned int) {
	s.t.Helper()
	got := fmt.Sprint(r.Summary.Mappings, r.Summary.Copied, r.Summary.Current, r.Summary.Failed, r.Summary.Planned)
	if want := fmt.Sprint(mappings, copied, current, failed, planned); got != want {
		s.t.Errorf("mappings, copied, current, failed and planned are %s, want %s", got, want)
	}
	once := map[string]bool{}
	for _, result := range r.Results {
		once[result.Destination] = true
	}
	if len(r.Results) != mappings || len(once) != mappings {
		s.t.Errorf("%d results name %d destinations, want one each of %d", len(r.Results), len(once), mappings)
	}
}

// checkEnd holds a run to its end and to its summary's words.
func (s *space) checkEnd(e *ended, succeeded bool, says string) {
	s.t.Helper()
	if e.succeeded != succeeded || !strings.Contains(e.summary, says) {
		s.t.Errorf("the run succeeded: %v, with the summary %q; want %v and %q", e.succeeded, e.summary, succeeded, says)
	}
}

// checkNothingWritten holds the destination to requests that read.
func (s *space) checkNothingWritten() {
	s.t.Helper()
	for kind, n := range s.destination.Stats().Requests {
		if strings.HasPrefix(kind, "P") {
			s.t.Errorf("%d requests %s to the destination, want none", n, kind)
		}
	}
}

func (s *space) checkNoCopies(run string) {
	s.t.Helper()
	if copies := s.names("taskruns", partOf(run, "copy")); len(copies) > 0 {
		s.t.Errorf("copies started: %s", copies)
	}
}

var sixShards = shards(6)

func shards(n int) func(*v1.PipelineRun) {
	return func(run *v1.PipelineRun) { param(run, "shards", fmt.Sprint(n)) }
}

func TestMirror(t *testing.T) {
	s := newSpace(t)
	tags := s.fill(forty)
	on := s.checkRuns(tags, func(name string) *ended {
		nodesLock.RLock()
		defer nodesLock.RUnlock()
		return s.finish(name, "set", sixShards)
	})
	if on < 2 {
		t.Errorf("the copies ran on %d nodes, want several", on)
	}
}

// checkRuns has the set run by run three times: for the first time, with nothing to do, and after one source was moved. It returns
// on how many nodes the first copies ran.
func (s *space) checkRuns(tags []string, run func(name string) *ended) int {
	s.t.Helper()
	first := run("first")
	s.checkEnd(first, true, "40 of 40 mappings copied")
	s.checkCounts(first.report, 40, 40, 0, 0, 0)
	s.checkArrived(tags)
	on := map[string]bool{}
	for _, pod := range first.copies {
		on[pod.Spec.NodeName] = true
	}
	if len(first.copies) != 6 {
		s.t.Errorf("%d copies ran, want 6", len(first.copies))
	}

	s.destination.Reset()
	second := run("second")
	s.checkEnd(second, true, "Nothing to copy: 40 mappings up to date")
	s.checkCounts(second.report, 40, 0, 40, 0, 0)
	s.checkNoCopies("second")
	s.checkNothingWritten()

	registrytest.Push(s.t, s.sources.Host+"/"+tags[17], registrytest.NewImage(registrytest.OCI, "moved", "amd64", registrytest.NewLayer("moved", 1<<16)))
	third := run("third")
	s.checkEnd(third, true, "1 of 40 mappings copied")
	s.checkCounts(third.report, 40, 1, 39, 0, 0)
	s.checkArrived(tags)
	if n := s.destination.Stats().Requests["PUT manifest"]; n != 1 {
		s.t.Errorf("%d manifests were written, want one", n)
	}
	return len(on)
}

func TestPartialFailure(t *testing.T) {
	s := newSpace(t)
	tags := registrytest.Fill(t, s.sources, registrytest.Workload{Repository: "app", Images: 6, Bases: 1, BaseSize: 1 << 16, TopSize: 1 << 12}).Tags
	lines := []string{"app-0:missing mirror/missing:v1", tags[0] + " forbidden/app:v1"}
	for _, tag := range tags {
		lines = append(lines, tag+" mirror/"+tag)
	}
	s.mappings("set", lines...)
	e := s.finish("partial", "set", shards(2))
	s.checkEnd(e, false, "2 of 8 mappings failed")
	s.checkCounts(e.report, 8, 6, 0, 2, 0)
	s.checkArrived(tags)
	s.checkFailed(e.report, 1, "HTTP 404")
	s.checkFailed(e.report, 2, "HTTP 40")

	s.apply(s.secret("wrong", "robot", "wrong"))
	refused := s.finish("wrong-secret", "set", func(run *v1.PipelineRun) { run.Spec.Workspaces[0].Secret.SecretName = "wrong" })
	s.checkEnd(refused, false, "8 of 8 mappings failed")
	s.checkCounts(refused.report, 8, 0, 0, 8, 0)
	for line := range 8 {
		s.checkFailed(refused.report, line+1, "HTTP 401")
	}
}

// checkFailed looks for a failed mapping with its place and its owners.
func (s *space) checkFailed(r *report, line int, says string) {
	s.t.Helper()
	for _, result := range r.Results {
		if result.Line != line {
			continue
		}
		at, by := result.File, strings.Join(result.Owners, " ")
		if result.Status != "failed" || at != "image-sets/"+set+"/mapping_payments" || by != "alice" && by != "alice bob" || !strings.Contains(result.Error, says) || strings.Contains(result.Error, "\n") {
			s.t.Errorf("line %d: %+v, want a failure with its place, its owners and %q", line, result, says)
		}
		return
	}
	s.t.Errorf("nothing is said of line %d", line)
}

func TestDryRun(t *testing.T) {
	s := newSpace(t)
	s.fill(registrytest.Workload{Repository: "app", Images: 3, Bases: 1, BaseSize: 1 << 16, TopSize: 1 << 12})
	e := s.finish("dry", "set", func(run *v1.PipelineRun) { param(run, "dry-run", "true") })
	s.checkEnd(e, true, "Dry run: 3 of 3 mappings to copy")
	s.checkCounts(e.report, 3, 0, 0, 0, 3)
	s.checkNoCopies("dry")
	s.checkNothingWritten()
}
