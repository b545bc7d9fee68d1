//go:build e2e

package e2e

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"
	"time"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What split refuses ends the run: no copy starts, and report says what split said, which is what it says in a shell.
func TestBadInput(t *testing.T) {
	s := newSpace(t)
	s.configMap("empty", nil)
	s.configMap("malformed", map[string]string{"OWNERS": owners, "mapping_payments": "# one\nonly-one-name:v1\n"})
	s.configMap("unset", map[string]string{"OWNERS": owners, "mapping_payments": "a.example/x:v1 b.example/x\n",
		"settings.yaml": "apiVersion: imagemirror/v1\nkind: Settings\nmetadata: {name: payments}\nspec: {schedules: 7 * * * *}\n"})
	s.configMap("outside", map[string]string{"OWNERS": owners, "mapping_payments": "a.example/x:v1 b.example/x\n",
		"settings.yaml": "apiVersion: imagemirror/v1\nkind: Settings\nmetadata: {name: payments}\nspec: {destinations: [b.example/y]}\n"})
	s.mappings("good", "a:v1 mirror/a:v1")
	s.apply(s.marshal(cutMapping(t)))
	s.apply(strings.NewReplacer(corev1.DockerConfigJsonKey+":", "auth.json:", string(corev1.SecretTypeDockerConfigJson), "Opaque").
		Replace(s.secret("misnamed", "robot", "right")))
	cases := []struct {
		run, mappings string
		change        func(*v1.PipelineRun)
		says          string
	}{
		{"without-mappings", "", nil, "image-sets/payments: no such file or directory"},
		{"empty", "empty", nil, "image-sets/payments: the directory has no mapping file: name files mapping_NAME, or name the image set's directory"},
		{"malformed", "malformed", nil, `image-sets/payments/mapping_payments:2: source "only-one-name:v1" has no destination: write SRC DST`},
		{"unset", "unset", nil, `image-sets/payments/settings.yaml:4: unknown key "schedules": write schedule, destinations`},
		{"outside", "outside", nil, "image-sets/payments/mapping_payments:1: destination b.example/x:v1 is outside of what settings.yaml of the set allows (b.example/y)"},
		{"no-retries", "good", func(run *v1.PipelineRun) { param(run, "retries", "0") }, "MIRROR_RETRIES is 0: give a number from 1 to 100"},
		{"cut", "cut", nil, `image-sets/payments/mapping_payments.gz:1: the file's gzip data is cut: write it anew`},
		{"no-shards", "good", func(run *v1.PipelineRun) { param(run, "shards", "0") }, "-shards"},
		{"misnamed", "good", func(run *v1.PipelineRun) { run.Spec.Workspaces[0].Secret.SecretName = "misnamed" },
			`has the keys ["auth.json"]: put the credentials under .dockerconfigjson or config.json`},
	}
	for _, c := range cases {
		s.start(c.run, c.mappings, c.change) // all at once, which is faster
	}
	for _, c := range cases {
		e := s.await(c.run)
		s.checkEnd(e, false, c.says)
		s.checkNoCopies(c.run)
		said := s.fetch(c.run).Summary.NoPlan
		if len(said) != 1 || !strings.Contains(said[0], c.says) {
			t.Errorf("%s: the report says %q, want a line with %q", c.run, said, c.says)
		}
		if !strings.Contains(e.log, c.says) || strings.Count(e.log, "\n") != 1 {
			t.Errorf("%s: split says\n%swant a line with %q", c.run, e.log, c.says)
		}
	}
}

// cutMapping is a ConfigMap with a compressed mapping file that lost its end.
func cutMapping(t *testing.T) *corev1.ConfigMap {
	t.Helper()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	for i := range 100 {
		fmt.Fprintf(z, "a.example/image:v%d b.example/image:v%d\n", i, i)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Name: "cut"},
		Data:       map[string]string{"OWNERS": owners},
		BinaryData: map[string][]byte{"mapping_payments.gz": packed.Bytes()[:packed.Len()/2]},
	}
}

// A secret that does not exist keeps split's pod waiting until its time is over; report says that it never started.
func TestSecretDoesNotExist(t *testing.T) {
	s := newSpace(t)
	s.mappings("set", "a:v1 mirror/a:v1")
	e := s.finish("unstarted", "set", func(run *v1.PipelineRun) {
		run.Spec.Workspaces[0].Secret.SecretName = "absent"
		run.Spec.Timeouts = &v1.TimeoutFields{
			Pipeline: &metav1.Duration{Duration: 6 * time.Minute},
			Tasks:    &metav1.Duration{Duration: 15 * time.Second},
			Finally:  &metav1.Duration{Duration: 5 * time.Minute}, // report has once taken more than one, on a machine that was busy
		}
	})
	s.checkEnd(e, false, "split never started")
	s.checkNoCopies("unstarted")
	if said := e.report.Summary.NoPlan; len(said) != 1 || !strings.Contains(said[0], "split never started (") {
		t.Errorf("the report says %q", said)
	}
}
