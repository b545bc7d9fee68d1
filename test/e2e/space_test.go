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

	"imagemirror/internal/apiserver"
	"imagemirror/internal/registrytest"
)

const (
	set    = "payments"
	owners = "approvers:\n- alice\nreviewers:\n- bob\n"
)

// delay is how long a request to a registry takes at least.
const delay = 10 * time.Millisecond

// A space is the namespace of a test, with the Tasks, the Pipeline and what a set needs, and two
// registries on this machine.
type space struct {
	*world
	t                   *testing.T
	name                string
	sources, copies     *registrytest.Registry // direct
	source, destination *registrytest.Proxy    // as pods see them
}

// newSpace makes a space, and lets the test run in parallel.
func newSpace(t *testing.T) *space {
	t.Helper()
	return newSpaceWith(t, distribution)
}

func newSpaceWith(t *testing.T, registry func(testing.TB) *registrytest.Registry) *space {
	t.Helper()
	t.Parallel()
	s := &space{world: up(t), t: t, name: newName()}
	s.sources, s.copies = registry(t), registry(t)
	s.openRegistries()
	sample, err := os.ReadFile("../../pipelines/samples/namespace.yaml")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.leave)
	s.apply(strings.ReplaceAll(string(sample), "mirror-knative", s.name))
	s.install()
	s.apply(
		string(s.yaml),
		s.configMapYAML("registries", map[string]string{"registries.conf": s.registriesConf()}),
		s.secretYAML("push", s.login("robot", "right")),
	)
	return s
}

// newName returns the name of a new namespace.
func newName() string { return "e2e-" + strings.ToLower(rand.Text()[:8]) }

// installation is what the image sets of a namespace share, as YAML.
var installation = sync.OnceValues(func() ([]byte, error) {
	w, err := bringUp()
	if err != nil {
		return nil, err
	}
	// It outlives the test that asks first.
	return w.run(context.Background(), nil, "kubectl", "kustomize", "install")
})

// install applies the installation to this namespace.
func (s *space) install() {
	s.t.Helper()
	yaml, err := installation()
	if err != nil {
		s.t.Fatal(err)
	}
	s.apply(s.renamed(yaml))
}

// renamed returns YAML with this namespace in place of image-mirror.
func (s *space) renamed(yaml []byte) string {
	return strings.ReplaceAll(string(yaml), "image-mirror", s.name)
}

// rename puts this namespace into all YAML files below a directory.
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

func (s *space) applyDirectory(dir string) {
	s.t.Helper()
	err := apiserver.Insist(s.t.Context(), func() error {
		_, err := output(exec.CommandContext(s.t.Context(), "kubectl", "--namespace", s.name, "apply", "--server-side", "-k", dir))
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// within returns the space for a subtest.
func (s *space) within(t *testing.T) *space {
	part := *s
	part.t = t
	return &part
}

func distribution(tb testing.TB) *registrytest.Registry {
	return registrytest.Distribution(tb, registrytest.DistributionOptions{})
}

// onDisk starts a registry for large blobs.
func onDisk(tb testing.TB) *registrytest.Registry {
	return registrytest.Distribution(tb, registrytest.DistributionOptions{Dir: tb.TempDir()})
}

// openRegistries opens the registries to pods. The user robot may read all of both, and write below
// mirror.
func (s *space) openRegistries() {
	s.t.Helper()
	robot := registrytest.User{
		Name: "robot", Password: "right", Pull: []string{""}, Push: []string{"mirror"},
	}
	options := registrytest.ProxyOptions{
		Host: s.host, Delay: delay,
		Auth: &registrytest.Auth{Users: []registrytest.User{robot}},
	}
	s.source = registrytest.NewProxy(s.t, s.sources, options)
	s.destination = registrytest.NewProxy(s.t, s.copies, options)
}

func (s *space) registriesConf(more ...string) string {
	var b strings.Builder
	for _, host := range append([]string{s.source.Host, s.destination.Host}, more...) {
		fmt.Fprintf(&b, "[[registry]]\nlocation = %q\ninsecure = true\n", host)
	}
	return b.String()
}

// login returns one user's credentials for both registries.
func (s *space) login(user, password string) map[string]string {
	return map[string]string{
		s.source.Host:      user + ":" + password,
		s.destination.Host: user + ":" + password,
	}
}

// secretYAML returns a Secret with USER:PASSWORD for each registry or path.
func (s *space) secretYAML(name string, logins map[string]string) string {
	s.t.Helper()
	auths := map[string]map[string]string{}
	for host, login := range logins {
		auths[host] = map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(login))}
	}
	content, err := json.Marshal(map[string]any{"auths": auths})
	if err != nil {
		s.t.Fatal(err)
	}
	return s.marshal(&corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Type:       corev1.SecretTypeDockerConfigJson,
		StringData: map[string]string{corev1.DockerConfigJsonKey: string(content)},
	})
}

func (s *space) configMap(name string, data map[string]string) {
	s.t.Helper()
	s.apply(s.configMapYAML(name, data))
}

func (s *space) configMapYAML(name string, data map[string]string) string {
	s.t.Helper()
	return s.marshal(&corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Data:       data,
	})
}

// leave removes the namespace. If the test failed, it logs what was there.
func (s *space) leave() {
	ctx := context.Background() // the test's own is over
	if s.t.Failed() {
		out, err := output(exec.CommandContext(ctx, "kubectl", "--namespace", s.name,
			"get", "pipelineruns,taskruns,pods,events"))
		s.t.Logf("%s%v", out, err)
	}
	err := s.client.Resource(corev1.SchemeGroupVersion.WithResource("namespaces")).
		Delete(ctx, s.name, metav1.DeleteOptions{})
	if err != nil {
		s.t.Error(err)
	}
}

func (s *space) kubectl(args ...string) string {
	s.t.Helper()
	args = append([]string{"--namespace", s.name}, args...)
	out, err := output(exec.CommandContext(s.t.Context(), "kubectl", args...))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(out)
}

func (s *space) tkn(args ...string) string {
	s.t.Helper()
	args = append(args, "--namespace", s.name)
	out, err := insist(s.t.Context(), func() ([]byte, error) {
		return output(exec.CommandContext(s.t.Context(), "tkn", args...))
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return string(out)
}

// tknStart starts a run of the Pipeline with tkn, and returns its name. The arguments that all runs
// have in common are added.
func (s *space) tknStart(account, mappings, secret string, args ...string) string {
	s.t.Helper()
	name := s.tkn(append([]string{
		"pipeline", "start", "mirror", "--use-param-defaults", "--output=name",
		"--serviceaccount=" + account, "--workspace=name=mappings,config=" + mappings,
		"--workspace=name=credentials,secret=" + secret,
		"--workspace=name=registries,config=registries",
	}, args...)...)
	name = strings.TrimSpace(name)
	return name[strings.LastIndexByte(name, '/')+1:]
}

// mappings makes the ConfigMap of an image set. The lines name repositories and tags without hosts.
func (s *space) mappings(name string, lines ...string) {
	s.t.Helper()
	var b strings.Builder
	for _, line := range lines {
		from, to, _ := strings.Cut(line, " ")
		fmt.Fprintf(&b, "%s/%s %s/%s\n", s.source.Host, from, s.destination.Host, to)
	}
	s.configMap(name, map[string]string{"OWNERS": owners, "mapping_payments": b.String()})
}

// start starts the sample's run, with the mappings of a ConfigMap and the changes of a test.
func (s *space) start(name, mappings string, changes ...func(*v1.PipelineRun)) {
	s.t.Helper()
	sample, err := os.ReadFile("../../pipelines/samples/run.yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	sample = []byte(strings.ReplaceAll(string(sample), "mirror-knative", s.name))
	run := &v1.PipelineRun{}
	if err := yaml.UnmarshalStrict(sample, run); err != nil {
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
		binding := v1.WorkspaceBinding{Name: "mappings", ConfigMap: configMapSource(mappings)}
		run.Spec.Workspaces = append(run.Spec.Workspaces, binding)
	}
	for _, change := range changes {
		change(run)
	}
	s.make(run)
}

// until waits for a condition, for as long as a run may take when many run at once.
func (s *space) until(what string, is func() bool) {
	s.t.Helper()
	for patience := time.Now().Add(15 * time.Minute); !is(); time.Sleep(time.Second) {
		if time.Now().After(patience) {
			s.t.Fatalf("waited 15 minutes for %s", what)
		}
	}
}

func param(run *v1.PipelineRun, name, value string) {
	run.Spec.Params = append(run.Spec.Params,
		v1.Param{Name: name, Value: *v1.NewStructuredValues(value)})
}

// params returns a change that adds parameters, each as NAME=VALUE.
func params(assignments ...string) func(*v1.PipelineRun) {
	return func(run *v1.PipelineRun) {
		for _, assignment := range assignments {
			name, value, _ := strings.Cut(assignment, "=")
			param(run, name, value)
		}
	}
}

func configMapSource(name string) *corev1.ConfigMapVolumeSource {
	return &corev1.ConfigMapVolumeSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: name},
	}
}

// An ended is a run that has ended.
type ended struct {
	succeeded bool
	summary   string // its result
	copies    []corev1.Pod
	report    *report
	log       string // of split
}

// await waits for the end of a run.
func (s *space) await(name string) *ended {
	s.t.Helper()
	run := &v1.PipelineRun{}
	s.until("the end of the run "+name, func() bool {
		s.get(run, "pipelineruns", name)
		return run.Status.CompletionTime != nil
	})
	e := &ended{
		succeeded: run.Status.GetCondition("Succeeded").IsTrue(),
		copies:    s.pods(name, "copy"),
	}
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

// awaitReport waits for the end of a run whose state is in ConfigMaps, and fetches its report.
func (s *space) awaitReport(name string) *ended {
	s.t.Helper()
	e := s.await(name)
	e.report = s.parse(s.files(name))
	return e
}

// finish starts a run whose state is in ConfigMaps, waits for its end and fetches its report.
func (s *space) finish(name, mappings string, changes ...func(*v1.PipelineRun)) *ended {
	s.t.Helper()
	s.start(name, mappings, changes...)
	return s.awaitReport(name)
}

// partOf returns the labels of the objects that a run has for one of its tasks.
func partOf(run, task string) string {
	return "tekton.dev/pipelineRun=" + run + ",tekton.dev/pipelineTask=" + task
}

func (s *space) pods(run, task string) []corev1.Pod {
	s.t.Helper()
	pods := &corev1.PodList{}
	s.list(pods, "pods", partOf(run, task))
	return pods.Items
}

// A report is the part of report.json that tests look at.
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

// fetchReport runs report on this machine for a run whose state is in ConfigMaps, as
// docs/how-to/read-a-report.md says. It returns the directory and the error, which has what report
// wrote to its standard error.
func (s *space) fetchReport(name string) (dir string, err error) {
	s.t.Helper()
	dir = s.t.TempDir()
	cmd := exec.CommandContext(s.t.Context(), filepath.Join(s.bin, "report"), "-out", dir)
	cmd.Env = append(os.Environ(), "MIRROR_STATE=configmaps", "MIRROR_NAMESPACE="+s.name,
		"MIRROR_RUN="+name, "MIRROR_GRACE=0s")
	_, err = output(cmd)
	return dir, err
}

// files returns the report of a run, by the names of its files.
func (s *space) files(name string) map[string][]byte {
	s.t.Helper()
	dir, failed := s.fetchReport(name) // fails if a mapping has failed
	if _, err := os.Stat(filepath.Join(dir, "report.json")); err != nil {
		s.t.Fatal(failed, err)
	}
	return s.read(dir)
}

// read returns the files of a report in a directory.
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

func (s *space) parse(files map[string][]byte) *report {
	s.t.Helper()
	r := &report{}
	if err := json.Unmarshal(files["report.json"], r); err != nil {
		s.t.Fatal(err)
	}
	return r
}
