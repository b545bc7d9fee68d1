package status

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"knative.dev/pkg/apis"
)

func pipelineRun(name, set string, succeeded corev1.ConditionStatus) v1.PipelineRun {
	run := v1.PipelineRun{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"imagemirror/set": set}}}
	if succeeded != "" {
		run.Status.SetCondition(&apis.Condition{Type: apis.ConditionSucceeded, Status: succeeded})
		run.Status.StartTime = &metav1.Time{Time: now}
	}
	return run
}

// The runs are read in portions, and those that have ended are left out.
func TestActiveRuns(t *testing.T) {
	var queries []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		queries = append(queries, r.URL.Path+"?"+r.URL.RawQuery)
		list := v1.PipelineRunList{TypeMeta: metav1.TypeMeta{APIVersion: "tekton.dev/v1", Kind: "PipelineRunList"}}
		if r.URL.Query().Get("continue") == "" {
			list.Continue = "next"
			list.Items = []v1.PipelineRun{pipelineRun("a-1", "a", corev1.ConditionTrue), pipelineRun("a-2", "a", corev1.ConditionUnknown)}
		} else {
			list.Items = []v1.PipelineRun{pipelineRun("b-1", "b", corev1.ConditionFalse), pipelineRun("b-2", "b", "")}
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(list); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	runs, err := OpenPipelineRuns(&rest.Config{Host: server.URL}, "sets")
	if err != nil {
		t.Fatal(err)
	}
	got, err := runs.Active(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		got[i].Since = got[i].Since.UTC()
	}
	if diff := cmp.Diff([]Active{{"a", "a-2", now}, {"b", "b-2", time.Time{}}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want := []string{
		"/apis/tekton.dev/v1/namespaces/sets/pipelineruns?labelSelector=imagemirror%2Fset&limit=100",
		"/apis/tekton.dev/v1/namespaces/sets/pipelineruns?continue=next&labelSelector=imagemirror%2Fset&limit=100",
	}
	if diff := cmp.Diff(want, queries); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	server.Close()
	if _, err := runs.Active(t.Context()); err == nil {
		t.Error("an API server that is down is no error")
	}
}
