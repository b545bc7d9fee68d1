//go:build e2e

package e2e

import (
	"os"
	"strings"
	"testing"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// The Pipeline for pull requests passes what is right. It fails on a mistake, and on a source that
// is missing if it is to ask the registries. Its log names the line. It has credentials only for
// reading sources.
func TestPresubmit(t *testing.T) {
	s := newSpace(t)
	content, err := os.ReadFile("../../pipelines/presubmit.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s.apply(string(content))
	s.pushOne("a:v1")
	s.mappings("right", "a:v1 mirror/a:v1")
	s.mappings("unknown", "a:v1 mirror/a:v1", "gone:v1 mirror/gone:v1")
	s.configMap("wrong", map[string]string{
		"OWNERS": owners, "mapping_payments": "# one\nonly-one-name:v1\n",
	})
	cases := []struct {
		name, online string
		passes       bool
		says         string
	}{
		{"right", "true", true, "msg=checked sets=1 mappings=1 warnings=0"},
		{"unknown", "true", false, "image-sets/payments/mapping_payments:2: checking "},
		{"wrong", "false", false,
			`image-sets/payments/mapping_payments:2: source "only-one-name:v1" has no destination`},
	}
	for _, c := range cases { // all at once, which is faster
		s.make(s.presubmit(c.name, c.online))
	}
	for _, c := range cases {
		e := s.await(c.name)
		log := s.logs(s.pods(c.name, "check")[0].Name, "check")
		if e.succeeded != c.passes || !strings.Contains(log, c.says) {
			t.Errorf("%s: succeeded %v, want %v, and a line with %q in\n%s",
				c.name, e.succeeded, c.passes, c.says, log)
		}
		const summary = "1 mappings in 1 sets: 0 mistakes, 0 warnings"
		if c.passes && e.summary != summary {
			t.Errorf("%s: the summary is %q, want %q", c.name, e.summary, summary)
		}
	}
}

// presubmit returns a run with the files of a ConfigMap where a clone has them.
func (s *space) presubmit(files, online string) *v1.PipelineRun {
	s.t.Helper()
	sample, err := os.ReadFile("../../pipelines/samples/presubmit.yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	run := &v1.PipelineRun{}
	if err := yaml.UnmarshalStrict(sample, run); err != nil {
		s.t.Fatal(err)
	}
	clone := configMapSource(files)
	for _, name := range []string{"OWNERS", "mapping_payments"} {
		item := corev1.KeyToPath{Key: name, Path: "image-sets/payments/" + name}
		clone.Items = append(clone.Items, item)
	}
	run.ObjectMeta = metav1.ObjectMeta{Name: files}
	run.Spec.PipelineSpec, run.Spec.Params = nil, nil
	run.Spec.PipelineRef = &v1.PipelineRef{Name: "presubmit"}
	param(run, "online", online)
	run.Spec.Workspaces = []v1.WorkspaceBinding{
		{Name: "sets", ConfigMap: clone},
		{
			Name:   "pull-credentials",
			Secret: &corev1.SecretVolumeSource{SecretName: "push"},
		},
		{Name: "registries", ConfigMap: configMapSource("registries")},
	}
	return run
}
