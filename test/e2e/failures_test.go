//go:build e2e

package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A missing source, a forbidden destination and wrong credentials fail their own mappings only. The
// report names file, line and owners, and tkn shows the summary and the last line of report's log.
func TestFailuresAreReported(t *testing.T) {
	s := newSpace(t)
	tags := s.fill(few(6)).Tags
	lines := []string{
		"app-0:missing mirror/missing:v1",
		tags[0] + " forbidden/app:v1",
		tags[0] + " mirror/wrong/app:v1",
	}
	s.mappings("set", append(lines, below("mirror", tags)...)...)
	logins := s.login("robot", "right")
	logins[s.destination.Host+"/mirror/wrong"] = "robot:wrong"
	s.apply(s.secretYAML("push", logins))
	name := s.tknStart(s.name, "set", "push", "--param=set="+set, "--param=shards=2")
	logs := s.follow(name)
	e := s.awaitReport(name)
	const summary = "3 of 9 mappings failed"
	s.checkEnd(e, false, summary)
	s.checkCounts(e.report, 9, 6, 0, 3, 0)
	s.checkArrived("mirror", tags...)
	s.checkFailed(e.report, 1, "HTTP 404")
	s.checkFailed(e.report, 2, "HTTP 40")
	s.checkFailed(e.report, 3, "HTTP 401")
	s.checkDescribed(name, summary)
	if shown := logs(); !strings.Contains(shown, "report: "+summary) {
		t.Errorf("tkn pipelinerun logs shows\n%swant the last line of report, %q", shown, summary)
	}
}

// checkDescribed checks that tkn shows the summary of a run.
func (s *space) checkDescribed(run, summary string) {
	s.t.Helper()
	if shown := s.tkn("pipelinerun", "describe", run); !strings.Contains(shown, summary) {
		s.t.Errorf("tkn pipelinerun describe shows\n%swant the summary %q", shown, summary)
	}
}

// follow makes tkn show the logs of a run as it goes. Sometimes tkn does not exit when the run has
// ended, or gives up on a pod that is slow to start. It gets another half minute, is killed, and is
// asked again without --follow.
func (s *space) follow(run string) (shown func() string) {
	s.t.Helper()
	ctx, kill := context.WithCancel(s.t.Context())
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "tkn", "pipelinerun", "logs", run, "--follow",
		"--namespace", s.name)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &out, 5*time.Second
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return func() string {
		s.t.Helper()
		defer kill()
		err := errors.New("it hangs")
		select {
		case err = <-ended:
		case <-time.After(30 * time.Second):
			kill()
			<-ended
		}
		if err == nil {
			return out.String()
		}
		s.t.Logf("tkn pipelinerun logs --follow: %v; it showed\n%s", err, out.String())
		return s.tkn("pipelinerun", "logs", run)
	}
}

// What split refuses ends the run: no copy starts, and the log, the report and the summary say what
// split says in a shell. The same holds if split cannot start.
func TestNothingIsMirroredWithoutAPlan(t *testing.T) {
	s := newSpace(t)
	s.mappings("good", "a:v1 mirror/a:v1")
	s.apply(s.marshal(mistakes(t)))
	misnamed := s.secretYAML("misnamed", s.login("robot", "right"))
	s.apply(strings.NewReplacer(corev1.DockerConfigJsonKey+":", "auth.json:",
		string(corev1.SecretTypeDockerConfigJson), "Opaque").Replace(misnamed))
	cases := []struct {
		run, mappings string
		change        func(*v1.PipelineRun)
		says          []string
	}{
		{"no-mappings", "", params(), []string{"image-sets/payments: no such file or directory"}},
		{"mistakes", "mistakes", params(), []string{
			`image-sets/payments/mapping_payments:2: source "only-one-name:v1" has no destination`,
			"image-sets/payments/mapping_payments:3: destination b.example/x:v1 is outside of what",
			"image-sets/payments/mapping_payments_cut.gz:1: the gzip data ends early",
		}},
		{"no-retries", "good", params("retries=0"), []string{"MIRROR_RETRIES is 0: "}},
		{"misnamed", "good", withCredentials("misnamed"), []string{
			`has the keys ["auth.json"]: put the credentials under .dockerconfigjson or config.json`,
		}},
	}
	for _, c := range cases { // all at once, which is faster
		s.start(c.run, c.mappings, c.change)
	}
	s.start("absent", "good", withCredentials("absent"), impatient)
	for _, c := range cases {
		s.checkRefused(c.run, c.says)
	}
	e := s.awaitReport("absent")
	s.checkEnd(e, false, "split never started")
	s.checkNoCopies("absent")
	if said := e.report.Summary.NoPlan; len(said) != 1 ||
		!strings.Contains(said[0], "split never started (") {
		t.Errorf("the report says %q", said)
	}
}

// checkRefused checks what became of a run that split refused, with one line for each mistake.
func (s *space) checkRefused(run string, says []string) {
	s.t.Helper()
	e := s.awaitReport(run)
	s.checkEnd(e, false, says[0])
	s.checkNoCopies(run)
	said := e.report.Summary.NoPlan
	if len(said) != len(says) || strings.Count(e.log, "\n") != len(says) {
		s.t.Errorf("%s: the report says %q, and split\n%swant %d lines", run, said, e.log, len(says))
		return
	}
	for i, line := range says {
		if !strings.Contains(said[i], line) || !strings.Contains(e.log, line) {
			s.t.Errorf("%s: the report says %q, and split\n%swant %q", run, said, e.log, line)
		}
	}
}

// mistakes returns the ConfigMap of a set with a malformed line, a destination that its settings do
// not allow, and a compressed mapping file that was cut.
func mistakes(t *testing.T) *corev1.ConfigMap {
	t.Helper()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	for i := range 100 {
		fmt.Fprintf(z, "a.example/image:v%d b.example/y/image:v%d\n", i, i)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Name: "mistakes"},
		Data: map[string]string{
			"OWNERS":           owners,
			"mapping_payments": "# one\nonly-one-name:v1\na.example/x:v1 b.example/x\n",
			"settings.yaml": "apiVersion: imagemirror/v1\nkind: Settings\n" +
				"metadata: {name: payments}\nspec: {destinations: [b.example/y]}\n",
		},
		BinaryData: map[string][]byte{"mapping_payments_cut.gz": packed.Bytes()[:packed.Len()/2]},
	}
}

// withCredentials returns a change that names the secret of the credentials.
func withCredentials(secret string) func(*v1.PipelineRun) {
	return func(run *v1.PipelineRun) { run.Spec.Workspaces[0].Secret.SecretName = secret }
}

// impatient makes a run wait for its tasks only for a moment.
func impatient(run *v1.PipelineRun) {
	run.Spec.Timeouts = &v1.TimeoutFields{
		Pipeline: &metav1.Duration{Duration: 6 * time.Minute},
		Tasks:    &metav1.Duration{Duration: 30 * time.Second},
		Finally:  &metav1.Duration{Duration: 5 * time.Minute}, // for a machine that is busy
	}
}
