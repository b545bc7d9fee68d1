//go:build e2e

package e2e

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"imagemirror/internal/registrytest"
)

const (
	set    = "payments"
	owners = "approvers:\n- alice\nreviewers:\n- bob\n"
)

// space is a namespace of a test's own, with the Tasks, the Pipeline and what a set needs, and two registries on this machine.
type space struct {
	*world
	t                   *testing.T
	name                string
	sources, copies     *registrytest.Registry // as they are
	source, destination *registrytest.Proxy    // as pods see them
}

func newSpace(t *testing.T) *space {
	t.Helper()
	s := &space{world: up(t), t: t, name: "e2e-" + strings.ToLower(rand.Text()[:8])}
	s.openRegistries()
	sample, err := os.ReadFile("../../pipelines/samples/namespace.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s.apply(strings.ReplaceAll(string(sample), "mirror-knative", s.name))
	t.Cleanup(s.leave)
	s.apply(string(s.yaml))
	s.configMap("settings", map[string]string{"registries.conf": s.registriesConf()})
	s.apply(s.secret("push", "robot", "right"))
	return s
}

// openRegistries starts two registries. robot may read all of both, and write below mirror.
func (s *space) openRegistries() {
	s.t.Helper()
	s.sources = registrytest.Distribution(s.t, registrytest.DistributionOptions{Dir: s.t.TempDir()})
	s.copies = registrytest.Distribution(s.t, registrytest.DistributionOptions{Dir: s.t.TempDir()})
	robot := registrytest.User{Name: "robot", Password: "right", Pull: []string{""}, Push: []string{"mirror"}}
	options := registrytest.ProxyOptions{Host: s.Host, Delay: 10 * time.Millisecond, Auth: &registrytest.Auth{Users: []registrytest.User{robot}}}
	s.source = registrytest.NewProxy(s.t, s.sources, options)
	s.destination = registrytest.NewProxy(s.t, s.copies, options)
}

func (s *space) registriesConf() string {
	var b strings.Builder
	for _, host := range []string{s.source.Host, s.destination.Host} {
		fmt.Fprintf(&b, "[[registry]]\nlocation = %q\ninsecure = true\n", host)
	}
	return b.String()
}

// secret is a Secret with one user's credentials for both registries.
func (s *space) secret(name, user, password string) string {
	auth := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	content := fmt.Sprintf(`{"auths":{%q:{"auth":%q},%q:{"auth":%q}}}`, s.source.Host, auth, s.destination.Host, auth)
	return s.marshal(&corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Type:       corev1.SecretTypeDockerConfigJson,
		StringData: map[string]string{corev1.DockerConfigJsonKey: content},
	})
}

func (s *space) configMap(name string, data map[string]string) {
	s.t.Helper()
	s.apply(s.marshal(&corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Data:       data,
	}))
}

func (s *space) marshal(object any) string {
	s.t.Helper()
	content, err := yaml.Marshal(object)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(content)
}

// leave removes the namespace; where the test failed, it says what was there.
func (s *space) leave() {
	ctx := context.Background() // the test's own is over
	if s.t.Failed() {
		out, err := output(s.Command(ctx, "kubectl", "--namespace", s.name, "get", "pipelineruns,taskruns,pods,events"))
		s.t.Logf("%s%v", out, err)
	}
	if _, err := output(s.Command(ctx, "kubectl", "delete", "namespace", s.name, "--wait=false")); err != nil {
		s.t.Error(err)
	}
}

func (s *space) kubectl(input string, args ...string) string {
	s.t.Helper()
	cmd := s.Command(s.t.Context(), "kubectl", append([]string{"--namespace", s.name}, args...)...)
	cmd.Stdin = strings.NewReader(input)
	out, err := output(cmd)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(out)
}

func (s *space) apply(yaml string) {
	s.t.Helper()
	// On the server's side: on kubectl's, a large ConfigMap would not fit into the annotation that remembers it.
	s.kubectl(yaml, "apply", "--server-side", "--filename", "-")
}

// get reads objects of the cluster.
func (s *space) get(into any, args ...string) {
	s.t.Helper()
	content := s.kubectl("", append([]string{"get", "--output", "json"}, args...)...)
	if err := json.Unmarshal([]byte(content), into); err != nil {
		s.t.Fatal(err)
	}
}

// mappings makes a ConfigMap of an image set, of lines that name repositories and tags alone.
func (s *space) mappings(name string, lines ...string) {
	s.t.Helper()
	var b strings.Builder
	for _, line := range lines {
		from, to, _ := strings.Cut(line, " ")
		fmt.Fprintf(&b, "%s/%s %s/%s\n", s.source.Host, from, s.destination.Host, to)
	}
	s.configMap(name, map[string]string{"OWNERS": owners, "mapping_payments": b.String()})
}

// start starts the sample's run, with the mappings of a ConfigMap, and whatever a test changes.
func (s *space) start(name, mappings string, change func(*v1.PipelineRun)) {
	s.t.Helper()
	sample, err := os.ReadFile("../../pipelines/samples/run.yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	run := &v1.PipelineRun{}
	if err := yaml.UnmarshalStrict([]byte(strings.ReplaceAll(string(sample), "mirror-knative", s.name)), run); err != nil {
		s.t.Fatal(err)
	}
	run.GenerateName, run.Name = "", name
	run.Spec.Params = nil
	param(run, "set", set)
	run.Spec.Workspaces = []v1.WorkspaceBinding{
		{Name: "credentials", Secret: &corev1.SecretVolumeSource{SecretName: "push"}},
		{Name: "settings", ConfigMap: configMapSource("settings")},
	}
	if mappings != "" {
		run.Spec.Workspaces = append(run.Spec.Workspaces, v1.WorkspaceBinding{Name: "mappings", ConfigMap: configMapSource(mappings)})
	}
	if change != nil {
		change(run)
	}
	s.kubectl(s.marshal(run), "create", "--filename", "-")
}

func param(run *v1.PipelineRun, name, value string) {
	run.Spec.Params = append(run.Spec.Params, v1.Param{Name: name, Value: *v1.NewStructuredValues(value)})
}

func configMapSource(name string) *corev1.ConfigMapVolumeSource {
	return &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}}
}

// ended is what became of a run.
type ended struct {
	succeeded bool
	summary   string // its result
	copies    []corev1.Pod
	report    *report
	log       string // split's
}

// await waits for the end of a run.
func (s *space) await(name string) *ended {
	s.t.Helper()
	s.kubectl("", "wait", "pipelinerun", name, "--for=jsonpath={.status.completionTime}", "--timeout=5m")
	run := &v1.PipelineRun{}
	s.get(run, "pipelinerun", name)
	e := &ended{succeeded: run.Status.GetCondition("Succeeded").IsTrue(), copies: s.pods(name, "copy")}
	for _, r := range run.Status.Results {
		if r.Name == "summary" {
			e.summary = r.Value.StringVal
		}
	}
	if pods := s.pods(name, "split"); len(pods) == 1 {
		e.log = s.kubectl("", "logs", pods[0].Name, "--container=step-split")
	}
	return e
}

func (s *space) pods(run, task string) []corev1.Pod {
	s.t.Helper()
	pods := &corev1.PodList{}
	s.get(pods, "pods", "--selector=tekton.dev/pipelineRun="+run+",tekton.dev/pipelineTask="+task)
	return pods.Items
}

// finish starts a run with the state in ConfigMaps, waits for its end and fetches its report.
func (s *space) finish(name, mappings string, change func(*v1.PipelineRun)) *ended {
	s.t.Helper()
	s.start(name, mappings, change)
	e := s.await(name)
	e.report = s.fetch(name)
	return e
}

// report is report.json, as far as tests look into it.
type report struct {
	Summary struct {
		Mappings, Copied, Current, Failed, Planned int
		NoPlan                                     []string
	}
	Results []struct {
		Destination, Status, Error, File string
		Line                             int
		Owners                           []string
	}
}

// fetch gets the report of a run as docs/cluster.md says.
func (s *space) fetch(name string) *report {
	s.t.Helper()
	dir := s.t.TempDir()
	cmd := exec.CommandContext(s.t.Context(), s.world.report, "-out", dir)
	cmd.Env = append(s.Settings(), "MIRROR_STATE=configmaps", "MIRROR_NAMESPACE="+s.name, "MIRROR_RUN="+name, "MIRROR_GRACE=0s")
	_, failed := output(cmd) // as the run has
	content, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		s.t.Fatal(failed, err)
	}
	r := &report{}
	if err := json.Unmarshal(content, r); err != nil {
		s.t.Fatal(err)
	}
	return r
}
