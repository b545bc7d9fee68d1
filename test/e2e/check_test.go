//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"

	"imagemirror/internal/registrytest"
)

// forty is a workload whose copy takes a moment: 40 images, ten of them indexes.
var forty = registrytest.Workload{
	Repository: "app", Images: 40, PerRepo: 4, IndexEvery: 4,
	Bases: 2, BaseSize: 1 << 20, TopSize: 64 << 10,
}

// few returns a workload of n small images.
func few(n int) registrytest.Workload {
	return registrytest.Workload{
		Repository: "app", Images: n, Bases: 1, BaseSize: 1 << 16, TopSize: 1 << 12,
	}
}

// fill pushes images to the sources, and makes the ConfigMap "set" of mappings that bring all of
// them below mirror.
func (s *space) fill(w registrytest.Workload) *registrytest.WorkloadImages {
	s.t.Helper()
	content := registrytest.Fill(s.t, s.sources, w)
	s.mappings("set", below("mirror", content.Tags)...)
	return content
}

// below returns mappings of tags to destinations below a path.
func below(path string, tags []string) []string {
	var lines []string
	for _, tag := range tags {
		lines = append(lines, tag+" "+path+"/"+tag)
	}
	return lines
}

// pushOne pushes one image to the sources.
func (s *space) pushOne(tag string) {
	s.t.Helper()
	image := registrytest.NewImage(registrytest.OCI, tag, "amd64", registrytest.NewLayer(tag, 1<<16))
	registrytest.Push(s.t, s.sources.Host+"/"+tag, image)
}

// checkArrived compares every destination below a path with its source.
func (s *space) checkArrived(path string, tags ...string) {
	s.t.Helper()
	for _, tag := range tags {
		from, to := s.sources.Host+"/"+tag, s.copies.Host+"/"+path+"/"+tag
		if err := registrytest.Validate(s.t.Context(), from, to); err != nil {
			s.t.Error(err)
		}
	}
}

// checkCounts checks that a report has one result for each mapping, and how many have which status.
func (s *space) checkCounts(r *report, mappings, copied, current, failed, planned int) {
	s.t.Helper()
	sum := r.Summary
	got := []int{sum.Mappings, sum.Copied, sum.Current, sum.Failed, sum.Planned}
	if want := []int{mappings, copied, current, failed, planned}; !slices.Equal(got, want) {
		s.t.Errorf("mappings, copied, current, failed and planned are %v, want %v", got, want)
	}
	once := map[string]bool{}
	for _, result := range r.Results {
		once[result.Destination] = true
	}
	if len(r.Results) != mappings || len(once) != mappings {
		s.t.Errorf("%d results for %d destinations, want one each for %d",
			len(r.Results), len(once), mappings)
	}
}

// checkEnd checks whether a run succeeded, and that its summary contains some words.
func (s *space) checkEnd(e *ended, succeeded bool, words string) {
	s.t.Helper()
	if e.succeeded != succeeded || !strings.Contains(e.summary, words) {
		s.t.Errorf("the run succeeded: %v, with the summary %q; want %v and %q",
			e.succeeded, e.summary, succeeded, words)
	}
}

// checkFailed checks that the mapping of a line failed, with its file, its owners and a one-line
// error that contains some words.
func (s *space) checkFailed(r *report, line int, words string) {
	s.t.Helper()
	for _, result := range r.Results {
		if result.Line != line {
			continue
		}
		by := strings.Join(result.Owners, " ")
		if result.Status != "failed" || result.File != "image-sets/"+set+"/mapping_payments" ||
			by != "alice" && by != "alice bob" ||
			!strings.Contains(result.Error, words) || strings.Contains(result.Error, "\n") {
			s.t.Errorf("line %d: %+v, want a failure with its file, its owners and %q",
				line, result, words)
		}
		return
	}
	s.t.Errorf("line %d has no result", line)
}

// checkNothingWritten checks that the destination got only requests that read.
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

// checkLog checks that a pod of a task has a line with some words in its log.
func (s *space) checkLog(run, task, words string) {
	s.t.Helper()
	log := s.kubectl("logs", "--selector="+partOf(run, task), "--container=step-"+task, "--tail=-1")
	if !strings.Contains(log, words) {
		s.t.Errorf("the log of %s is\n%swant a line with %q", task, log, words)
	}
}

func shards(n int) func(*v1.PipelineRun) { return params(fmt.Sprint("shards=", n)) }
