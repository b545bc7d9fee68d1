//go:build e2e

package e2e

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
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

// delay is what a request takes at least.
const delay = 10 * time.Millisecond

// space is a namespace of a test's own, with the Tasks, the Pipeline and what a set needs, and two registries on this machine.
type space struct {
	*world
	t                   *testing.T
	name                string
	sources, copies     *registrytest.Registry // as they are
	source, destination *registrytest.Proxy    // as pods see them
}

// newSpace makes one, and has the test run beside others.
func newSpace(t *testing.T) *space {
	t.Helper()
	return newSpaceWith(t, distribution)
}

func newSpaceWith(t *testing.T, registry func(testing.TB) *registrytest.Registry) *space {
	t.Helper()
	t.Parallel()
	s := &space{world: up(t), t: t, name: "e2e-" + strings.ToLower(rand.Text()[:8])}
	s.sources, s.copies = registry(t), registry(t)
	s.openRegistries()
	sample, err := os.ReadFile("../../pipelines/samples/namespace.yaml")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.leave)
	s.apply(
		strings.ReplaceAll(string(sample), "mirror-knative", s.name), string(s.yaml),
		s.configMapOf("registries", map[string]string{"registries.conf": s.registriesConf()}), s.secret("push", "robot", "right"),
	)
	s.install()
	return s
}

// installation is what the image sets of a namespace share.
var installation = sync.OnceValues(func() ([]byte, error) {
	w, err := bringUp()
	if err != nil {
		return nil, err
	}
	return w.run(context.Background(), nil, "kubectl", "kustomize", "install") // it outlives the test that asks first
})

// install applies it to this namespace.
func (s *space) install() {
	s.t.Helper()
	yaml, err := installation()
	if err != nil {
		s.t.Fatal(err)
	}
	s.apply(s.renamed(yaml))
}

// renamed is YAML about this namespace.
func (s *space) renamed(yaml []byte) string {
	return strings.ReplaceAll(string(yaml), "image-mirror", s.name)
}

// rename has all YAML in a folder be about this namespace.
func (s *space) rename(root string) {
	s.t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yaml" {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, []byte(s.renamed(content)), 0o644)
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *space) applyFolder(dir string) {
	s.t.Helper()
	s.kubectl("apply", "--server-side", "-k", dir)
}

// within is the space for a part of its test.
func (s *space) within(t *testing.T) *space {
	part := *s
	part.t = t
	return &part
}

func distribution(tb testing.TB) *registrytest.Registry {
	return registrytest.Distribution(tb, registrytest.DistributionOptions{})
}

// onDisk is a registry for large blobs.
func onDisk(tb testing.TB) *registrytest.Registry {
	return registrytest.Distribution(tb, registrytest.DistributionOptions{Dir: tb.TempDir()})
}

// openRegistries opens the two registries to pods. robot may read all of both, and write below mirror.
func (s *space) openRegistries() {
	s.t.Helper()
	robot := registrytest.User{Name: "robot", Password: "right", Pull: []string{""}, Push: []string{"mirror"}}
	options := registrytest.ProxyOptions{Host: s.host, Delay: delay, Auth: &registrytest.Auth{Users: []registrytest.User{robot}}}
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
	s.apply(s.configMapOf(name, data))
}

func (s *space) configMapOf(name string, data map[string]string) string {
	s.t.Helper()
	return s.marshal(&corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Data:       data,
	})
}

// leave removes the namespace; where the test failed, it says what was there.
func (s *space) leave() {
	ctx := context.Background() // the test's own is over
	if s.t.Failed() {
		out, err := output(exec.CommandContext(ctx, "kubectl", "--namespace", s.name, "get", "pipelineruns,taskruns,pods,events"))
		s.t.Logf("%s%v", out, err)
	}
	if err := s.client.Resource(corev1.SchemeGroupVersion.WithResource("namespaces")).Delete(ctx, s.name, metav1.DeleteOptions{}); err != nil {
		s.t.Error(err)
	}
}

func (s *space) kubectl(args ...string) string {
	s.t.Helper()
	out, err := output(exec.CommandContext(s.t.Context(), "kubectl", append([]string{"--namespace", s.name}, args...)...))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(out)
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
		{Name: "registries", ConfigMap: configMapSource("registries")},
	}
	if mappings != "" {
		run.Spec.Workspaces = append(run.Spec.Workspaces, v1.WorkspaceBinding{Name: "mappings", ConfigMap: configMapSource(mappings)})
	}
	if change != nil {
		change(run)
	}
	s.make(run)
}

// until waits for a condition, as long as a run takes where many run at once.
func (s *space) until(what string, is func() bool) {
	s.t.Helper()
	for patience := time.Now().Add(15 * time.Minute); !is(); time.Sleep(time.Second) {
		if time.Now().After(patience) {
			s.t.Fatalf("waiting for %s: it does not come", what)
		}
	}
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
	run := &v1.PipelineRun{}
	s.until("the end of the run "+name, func() bool {
		s.get(run, "pipelineruns", name)
		return run.Status.CompletionTime != nil
	})
	e := &ended{succeeded: run.Status.GetCondition("Succeeded").IsTrue(), copies: s.pods(name, "copy")}
	for _, r := range run.Status.Results {
		if r.Name == "summary" {
			e.summary = r.Value.StringVal
		}
	}
	if pods := s.pods(name, "split"); len(pods) == 1 {
		e.log = s.logs(pods[0].Name, "split")
	}
	return e
}

// partOf is the labels of what a run has for one of its tasks.
func partOf(run, task string) string {
	return "tekton.dev/pipelineRun=" + run + ",tekton.dev/pipelineTask=" + task
}

func (s *space) pods(run, task string) []corev1.Pod {
	s.t.Helper()
	pods := &corev1.PodList{}
	s.list(pods, "pods", partOf(run, task))
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

// files gets the report of a run as docs/how-to/read-a-report.md says.
func (s *space) files(name string) map[string][]byte {
	s.t.Helper()
	dir := s.t.TempDir()
	cmd := exec.CommandContext(s.t.Context(), filepath.Join(s.bin, "report"), "-out", dir)
	cmd.Env = append(os.Environ(), "MIRROR_STATE=configmaps", "MIRROR_NAMESPACE="+s.name, "MIRROR_RUN="+name, "MIRROR_GRACE=0s")
	_, failed := output(cmd) // as the run has
	if _, err := os.Stat(filepath.Join(dir, "report.json")); err != nil {
		s.t.Fatal(failed, err)
	}
	return s.read(dir)
}

// read is the files of a report.
func (s *space) read(dir string) map[string][]byte {
	s.t.Helper()
	files := map[string][]byte{}
	for _, name := range []string{"report.json", "report.md", "junit.xml"} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			s.t.Fatal(err)
		}
		files[name] = content
	}
	return files
}

func (s *space) fetch(name string) *report {
	s.t.Helper()
	return s.parse(s.files(name))
}

func (s *space) parse(files map[string][]byte) *report {
	s.t.Helper()
	r := &report{}
	if err := json.Unmarshal(files["report.json"], r); err != nil {
		s.t.Fatal(err)
	}
	return r
}
