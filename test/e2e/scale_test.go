//go:build e2e

package e2e

import (
	"fmt"
	"regexp"
	"testing"
	"time"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"

	"imagemirror/internal/registrytest"
)

// What more shards bring where requests take long and the cap grows with the shards. How long it took is logged, for
// docs/explanation/performance.md, and not judged: other tests run meanwhile.
func TestScale(t *testing.T) {
	s := newSpace(t)
	const roundTrip = 50 * time.Millisecond
	far := registrytest.FaultRule{Name: "far away", Fault: registrytest.Wait(roundTrip - delay)}
	s.source.Inject(far)
	s.destination.Inject(far)
	set := registrytest.Workload{Repository: "app", Images: 320, PerRepo: 4, Bases: 2, BaseSize: 64 << 10, TopSize: 16 << 10}
	tags := registrytest.Fill(t, s.sources, set).Tags
	t.Log("shards | requests by copies | in flight | start-up of a pod | copying | from the first copy's creation to the last one's end")
	for _, shards := range []int{1, 2, 4, 8} {
		run := fmt.Sprintf("shards-%d", shards)
		s.mappings(run, below(run, tags)...)
		s.source.Reset()
		s.destination.Reset()
		e := s.finish(run, run, func(run *v1.PipelineRun) {
			param(run, "shards", fmt.Sprint(shards))
			param(run, "cap", fmt.Sprint(4*shards))
		})
		s.checkEnd(e, true, fmt.Sprintf("%d of %d mappings copied", len(tags), len(tags)))
		s.checkCounts(e.report, len(tags), len(tags), 0, 0, 0)
		if len(e.copies) != shards {
			t.Errorf("%d copies ran, want %d", len(e.copies), shards)
		}
		for side, proxy := range map[string]*registrytest.Proxy{"source": s.source, "destination": s.destination} {
			if n := proxy.Stats().MaxInFlight; n > 4*shards {
				t.Errorf("with %d shards the %s had up to %d requests in flight, want at most %d", shards, side, n, 4*shards)
			}
		}
		requests := s.checkRequests(set, shards)
		startUp, copying, all := s.times(e.copies)
		t.Logf("%6d | %18d | %9d | %17v | %7v | %v", shards, requests, s.destination.Stats().MaxInFlight, startUp, copying, all)
	}
}

// checkRequests holds what copies have asked for to what the images need, and to what shards have to ask for each by itself.
func (s *space) checkRequests(w registrytest.Workload, shards int) (total int) {
	s.t.Helper()
	source, destination := s.source.Stats().Requests, s.destination.Stats().Requests
	blobs := 2*w.Images + w.Bases // a layer and a configuration of its own
	again := (shards - 1) * w.Bases
	// Each process asks the registry once for where its tokens are.
	if n := source["GET blob"]; n < blobs || n > blobs+again+shards {
		s.t.Errorf("with %d shards copies have read %d blobs, want %d, and up to %d again", shards, n, blobs, again)
	}
	if n := destination["PUT manifest"]; n != w.Images {
		s.t.Errorf("with %d shards copies have written %d manifests, want %d", shards, n, w.Images)
	}
	if n := destination["PUT upload"]; n < blobs || n > blobs+again {
		s.t.Errorf("with %d shards copies have sent %d blobs, want %d, and up to %d again", shards, n, blobs, again)
	}
	for _, counted := range []map[string]int{source, destination} {
		for kind, n := range counted {
			if kind == "GET blob" || kind == "PUT manifest" || kind == "PUT upload" || kind == "POST mount" || kind == "POST upload" || kind == "PATCH upload" {
				total += n
			}
		}
	}
	return total
}

// times are the longest that a copy took from the creation of its TaskRun to its log's first line, and by its log's last line; and the
// time from the first TaskRun's creation to the last one's end.
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
			s.t.Fatalf("the log of %s does not say when it began and what it took:\n%.2000s", pod.Name, log)
		}
		at, err := time.Parse(time.RFC3339, first[1])
		if err != nil {
			s.t.Fatal(err)
		}
		lasted, err := time.ParseDuration(last[1])
		if err != nil {
			s.t.Fatal(err)
		}
		startUp, copying = max(startUp, at.Sub(created[pod.Labels["tekton.dev/taskRun"]])), max(copying, lasted)
	}
	return startUp.Round(100 * time.Millisecond), copying, ended.Sub(began)
}

var (
	logged = regexp.MustCompile(`time=(\S+) level=INFO msg=copying`)
	took   = regexp.MustCompile(`msg=finished .* took=(\S+)`)
)
