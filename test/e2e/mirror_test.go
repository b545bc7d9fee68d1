//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/pod"
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"imagemirror/internal/registrytest"
)

// A set is mirrored three times: for the first time, in shards on several nodes that keep to the
// run's cap; with nothing to do; and after one source tag was moved.
func TestMirror(t *testing.T) {
	s := newSpace(t)
	s.checkRightsOfSet()
	content := s.fill(forty)
	s.checkFirstRun(content)

	s.destination.Reset()
	second := s.finish("second", "set", shards(6))
	s.checkEnd(second, true, "Nothing to copy: 40 mappings up to date")
	s.checkCounts(second.report, 40, 0, 40, 0, 0)
	s.checkNoCopies("second")
	s.checkNothingWritten()

	s.pushOne(content.Tags[17])
	third := s.finish("third", "set", shards(6))
	s.checkEnd(third, true, "1 of 40 mappings copied")
	s.checkCounts(third.report, 40, 1, 39, 0, 0)
	s.checkArrived("mirror", content.Tags...)
	if n := s.destination.Stats().Requests["PUT manifest"]; n != 1 {
		t.Errorf("%d manifests were written, want one", n)
	}
}

// checkFirstRun mirrors a set in as many shards as a cap of 16 leaves four requests in flight each.
func (s *space) checkFirstRun(content *registrytest.WorkloadImages) {
	s.t.Helper()
	nodesLock.RLock()
	defer nodesLock.RUnlock()
	const limit = 16
	// Held until every copy has as much in flight as it may, requests show whether that is too
	// much.
	downloads := s.hold(s.source, registrytest.FaultRule{Kind: "GET blob"})
	tags := s.holdTags("mirror", 0)
	s.start("first", "set", shards(6), params(fmt.Sprint("cap=", limit)), onSeveralNodes)
	s.awaitHeld(downloads, limit)
	downloads.release()
	s.awaitHeld(tags, limit)
	tags.release()
	first := s.awaitReport("first")
	s.checkEnd(first, true, "40 of 40 mappings copied")
	s.checkCounts(first.report, 40, 40, 0, 0, 0)
	s.checkArrived("mirror", content.Tags...)
	if len(first.copies) != limit/4 {
		s.t.Errorf("%d copies ran, want %d", len(first.copies), limit/4)
	}
	on := map[string]bool{}
	for _, pod := range first.copies {
		on[pod.Spec.NodeName] = true
	}
	if len(on) < 2 {
		s.t.Errorf("the copies ran on %d nodes, want several", len(on))
	}
	proxies := map[string]*registrytest.Proxy{"source": s.source, "destination": s.destination}
	for side, proxy := range proxies {
		if n := proxy.Stats().MaxInFlight; n != limit {
			s.t.Errorf("the %s had up to %d requests in flight, want %d", side, n, limit)
		}
	}
	s.checkRequests(content.Cold(), (limit/4-1)*forty.Bases, limit)
}

// onSeveralNodes spreads the copies of a run over the nodes, whatever else runs there.
func onSeveralNodes(run *v1.PipelineRun) {
	honor := corev1.NodeInclusionPolicyHonor
	template := &pod.PodTemplate{TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{
		MaxSkew: 1, TopologyKey: corev1.LabelHostname,
		WhenUnsatisfiable: corev1.DoNotSchedule,
		NodeTaintsPolicy:  &honor, // no pod can go to the control plane
		LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{
			"tekton.dev/pipelineRun": run.Name, "tekton.dev/pipelineTask": "copy",
		}},
	}}}
	run.Spec.TaskRunSpecs = append(run.Spec.TaskRunSpecs,
		v1.PipelineTaskRunSpec{PipelineTaskName: "copy", PodTemplate: template})
}

// checkRequests checks the requests of copies against the least that a cold run costs. Shards copy
// some layers again that they share. Each copy sends one request without a token, and a download
// that is held for longer than MIRROR_STALL, since another copy's pod starts late, is sent again.
func (s *space) checkRequests(least registrytest.Bound, again, inFlight int) {
	s.t.Helper()
	source, destination := s.source.Stats().Requests, s.destination.Stats().Requests
	blobs := least.Source["GET blob"]
	if n := source["GET blob"]; n < blobs || n > blobs+again+inFlight {
		s.t.Errorf("copies read %d blobs, want %d, and up to %d again", n, blobs, again+inFlight)
	}
	uploads := least.Destination["PUT upload"]
	if n := destination["PUT upload"]; n < uploads || n > uploads+again {
		s.t.Errorf("copies sent %d blobs, want %d, and up to %d again", n, uploads, again)
	}
	want := least.Destination["PUT manifest"]
	if n := destination["PUT manifest"]; n != want {
		s.t.Errorf("copies wrote %d manifests, want %d", n, want)
	}
}

// checkRightsOfSet checks that the service account of a set may do what the state needs, and
// nothing else.
func (s *space) checkRightsOfSet() {
	s.t.Helper()
	s.checkMay(s.name, []string{"create configmaps", "get configmaps"}, []string{
		"list configmaps", "watch configmaps", "update configmaps", "patch configmaps",
		"delete configmaps", "get secrets", "list secrets", "create pods", "get pods",
		"create serviceaccounts/token",
	})
}

// tkn starts a dry run, which copies nothing, and shows its summary.
func TestDryRunWithTkn(t *testing.T) {
	s := newSpace(t)
	s.fill(few(3))
	name := s.tknStart(s.name, "set", "push", "--param=set="+set, "--param=dry-run=true")
	e := s.awaitReport(name)
	s.checkEnd(e, true, "Dry run: 3 of 3 mappings to copy")
	s.checkCounts(e.report, 3, 0, 0, 0, 3)
	s.checkNoCopies(name)
	s.checkNothingWritten()
	s.checkDescribed(name, "Dry run: 3 of 3 mappings to copy")
}

// The tests of ConfigMaps in the state package pass with this cluster's API server.
func TestConfigMaps(t *testing.T) {
	t.Parallel()
	w := up(t)
	kubeconfig := "IMAGEMIRROR_TEST_KUBECONFIG=" + os.Getenv(kubeconfigVar)
	out, err := w.run(t.Context(), []string{kubeconfig},
		"go", "test", "-vet=off", "-count=1", "-v", "-run", "ConfigMap|Grow|RequestsOf|BeforeOrAfter|FiveThousand", "./internal/state", "./internal/record")
	skipped := strings.Contains(string(out), "--- SKIP")
	passed := strings.Count(string(out), "--- PASS: TestConfigMaps ") == 2
	if err != nil || skipped || !passed {
		t.Errorf("%v\n%s", err, out)
	}
}
