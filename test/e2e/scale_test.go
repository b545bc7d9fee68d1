//go:build e2e

package e2e

import (
	"flag"
	"fmt"
	"regexp"
	"testing"
	"time"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"

	"imagemirror/internal/registrytest"
)

var measure = flag.Bool("measure", false, "measure what more shards bring")

// What more shards bring if requests take long and the cap grows with the shards. The times are for
// docs/explanation/performance.md. Other tests would disturb them, so this runs only with -measure:
//
//	go test -tags e2e -count=1 -v -run TestScale ./test/e2e -measure
func TestScale(t *testing.T) {
	if !*measure {
		t.Skip("a measurement: run it with -measure")
	}
	s := newSpace(t)
	const roundTrip = 50 * time.Millisecond
	far := registrytest.FaultRule{Name: "far away", Fault: registrytest.Delay(roundTrip - delay)}
	s.source.Inject(far)
	s.destination.Inject(far)
	workload := registrytest.Workload{
		Repository: "app", Images: 320, PerRepo: 4, Bases: 2, BaseSize: 64 << 10, TopSize: 16 << 10,
	}
	content := registrytest.Fill(t, s.sources, workload)
	t.Log("shards | requests by copies | in flight | start-up of a pod | copying | " +
		"from the first copy's creation to the last one's end")
	for _, n := range []int{1, 2, 4, 8} {
		run := fmt.Sprintf("shards-%d", n)
		s.mappings(run, below("mirror/"+run, content.Tags)...)
		s.source.Reset()
		s.destination.Reset()
		e := s.finish(run, run, shards(n), params(fmt.Sprint("cap=", 4*n)))
		s.checkEnd(e, true, "320 of 320 mappings copied")
		if len(e.copies) != n {
			t.Errorf("%d copies ran, want %d", len(e.copies), n)
		}
		s.checkRequests(content.Cold(), (n-1)*workload.Bases, 4*n)
		startUp, copying, all := s.times(e.copies)
		t.Logf("%6d | %18d | %9d | %17v | %7v | %v",
			n, s.copyRequests(), s.destination.Stats().MaxInFlight, startUp, copying, all)
	}
}

// copyRequests counts the requests that only copies make.
func (s *space) copyRequests() (total int) {
	for _, requests := range []map[string]int{
		s.source.Stats().Requests, s.destination.Stats().Requests,
	} {
		for _, kind := range []string{
			"GET blob", "PUT manifest", "PUT upload", "POST mount", "POST upload", "PATCH upload",
		} {
			total += requests[kind]
		}
	}
	return total
}

// times returns the longest time from the creation of a copy's TaskRun to its log's first line, the
// longest time that a copy took by its log's last line, and the time from the first TaskRun's
// creation to the last one's end.
func (s *space) times(pods []corev1.Pod) (startUp, copying, all time.Duration) {
	s.t.Helper()
	runs := &v1.TaskRunList{}
	s.list(runs, "taskruns", partOf(pods[0].Labels["tekton.dev/pipelineRun"], "copy"))
	created := map[string]time.Time{}
	var began, ended time.Time
	for _, run := range runs.Items {
		at := run.CreationTimestamp.Time
		created[run.Name] = at
		if began.IsZero() || at.Before(began) {
			began = at
		}
		if end := run.Status.CompletionTime; end != nil && end.Time.After(ended) {
			ended = end.Time
		}
	}
	for _, pod := range pods {
		log := s.logs(pod.Name, "copy")
		first, last := logged.FindStringSubmatch(log), took.FindStringSubmatch(log)
		if first == nil || last == nil {
			s.t.Fatalf("the log of %s has no first or last line:\n%.2000s", pod.Name, log)
		}
		at, err := time.Parse(time.RFC3339, first[1])
		if err != nil {
			s.t.Fatal(err)
		}
		lasted, err := time.ParseDuration(last[1])
		if err != nil {
			s.t.Fatal(err)
		}
		startUp = max(startUp, at.Sub(created[pod.Labels["tekton.dev/taskRun"]]))
		copying = max(copying, lasted)
	}
	return startUp.Round(100 * time.Millisecond), copying, ended.Sub(began)
}

var (
	logged = regexp.MustCompile(`time=(\S+) level=INFO msg=copying`)
	took   = regexp.MustCompile(`msg=finished .* took=(\S+)`)
)
