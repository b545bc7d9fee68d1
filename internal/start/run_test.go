package start

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"imagemirror/internal/policy"
	"imagemirror/internal/settings"
	"imagemirror/internal/tektontest"
)

func configMap(name string, data map[string]string) corev1.ConfigMap {
	return corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, UID: "uid"}, Data: data}
}

func mustSet(t *testing.T, configMaps ...corev1.ConfigMap) *imageSet {
	t.Helper()
	s, err := setOf("knative", configMaps, &policy.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func thePipeline(t *testing.T) *v1.Pipeline {
	t.Helper()
	content, err := os.ReadFile("../../pipelines/mirror.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p := &v1.Pipeline{}
	if err := yaml.UnmarshalStrict(content, p); err != nil {
		t.Fatal(err)
	}
	return p
}

// Tekton accepts a run, which gives the Pipeline only what it declares, and enough time for its
// tasks.
func TestRunFitsThePipeline(t *testing.T) {
	p := thePipeline(t)
	for _, timeout := range []time.Duration{settings.MinTimeout, time.Hour, settings.DefaultTimeout, 7 * 24 * time.Hour} {
		s := mustSet(t, configMap("set-knative", nil), configMap("set-2-knative", nil))
		s.settings.Timeout = timeout
		run := (&Starter{Env: Env{ClusterRegistry: "registry.svc:5000", StatusURL: "https://mirror.example.com"}}).newRun(s)
		run.Name = run.GenerateName + "x" // as the API server will
		run.SetDefaults(context.Background())
		if err := run.Validate(context.Background()); err != nil {
			t.Errorf("timeout %s: %v", timeout, err)
		}
		checkFits(t, p, run)
		checkTimes(t, p, run)
	}
}

// report has a service account of its own: it alone may change the set's record.
func TestReportRunsAsTheServiceAccountOfTheRecord(t *testing.T) {
	run := (&Starter{}).newRun(mustSet(t, configMap("set-knative", nil)))
	got := map[string]string{}
	for _, task := range run.Spec.TaskRunSpecs {
		got[task.PipelineTaskName] = task.ServiceAccountName
	}
	if diff := cmp.Diff(map[string]string{"split": "", "copy": "", "report": "report-knative"}, got); diff != "" {
		t.Errorf("service accounts (-want +got):\n%s", diff)
	}
	if account := run.Spec.TaskRunTemplate.ServiceAccountName; account != "mirror-knative" {
		t.Errorf("the others run as %s", account)
	}
}

func checkFits(t *testing.T, p *v1.Pipeline, run *v1.PipelineRun) {
	t.Helper()
	if run.Spec.PipelineRef.Name != p.Name {
		t.Errorf("the run is of %s, want %s", run.Spec.PipelineRef.Name, p.Name)
	}
	tektontest.CheckFits(t, p, run)
}

func checkTimes(t *testing.T, p *v1.Pipeline, run *v1.PipelineRun) {
	t.Helper()
	share := func(task string) time.Duration {
		for _, s := range run.Spec.TaskRunSpecs {
			if s.PipelineTaskName == task {
				return s.Timeout.Duration
			}
		}
		t.Errorf("the run has no timeout for %s", task)
		return 0
	}
	var tasks time.Duration
	for _, task := range p.Spec.Tasks {
		tasks += time.Duration(1+task.Retries) * share(task.Name)
	}
	whole := run.Spec.Timeouts
	if tasks > whole.Tasks.Duration {
		t.Errorf("of %s, the tasks may take %s, and have %s", whole.Pipeline.Duration, tasks, whole.Tasks.Duration)
	}
	for _, given := range run.Spec.Params {
		task, ok := map[string]string{"deadline": "split", "copy-deadline": "copy"}[given.Name]
		if !ok {
			continue
		}
		// A pod and a plan of 190,000 tags need a fifth of the time at least.
		if d, err := time.ParseDuration(given.Value.StringVal); err != nil || d < time.Minute || d > share(task)*4/5 {
			t.Errorf("of %s, %s has %s, and the registries %s of it (%v)", whole.Pipeline.Duration, task, share(task), given.Value.StringVal, err)
		}
	}
	if report := share("report"); report < time.Minute || report >= whole.Finally.Duration {
		t.Errorf("of %s, report may take %s, and has %s", whole.Pipeline.Duration, report, whole.Finally.Duration)
	}
}

func TestRunHasTheSettingsAndFilesOfItsSet(t *testing.T) {
	s := mustSet(t,
		configMap("set-knative", map[string]string{"OWNERS": "", "settings.yaml": "apiVersion: imagemirror/v1\nkind: Settings\nmetadata:\n  name: knative\nspec:\n  shards: 3\n  cap: 20\n  rate: 7\n  timeout: 2h\n"}),
		configMap("set-2-knative", map[string]string{"mapping_b": ""}))
	run := (&Starter{Env: Env{ClusterRegistry: "registry.svc:5000", StatusURL: "https://mirror.example.com", Trigger: "cron"}}).newRun(s)
	got := map[string]string{}
	for _, p := range run.Spec.Params {
		got[p.Name] = p.Value.StringVal
	}
	if got["set"] != "knative" || got["shards"] != "3" || got["cap"] != "20" || got["cap-rate"] != "7" || run.Spec.Timeouts.Pipeline.Duration != 2*time.Hour {
		t.Errorf("of the settings, the run has the parameters %v and the timeout %s", got, run.Spec.Timeouts.Pipeline.Duration)
	}
	if got["cluster-registry"] != "registry.svc:5000" || got["notify-hosts"] != "" || got["status-url"] != "https://mirror.example.com" {
		t.Errorf("of the place and the policy, the run has the parameters %v", got)
	}
	if got["trigger"] != "cron" || run.Labels[TriggerLabel] != "cron" {
		t.Errorf("the run has the parameters %v and the labels %v, want those of a CronJob", got, run.Labels)
	}
	if run.GenerateName != "mirror-knative-" || run.Labels[SetLabel] != "knative" || run.Spec.TaskRunTemplate.ServiceAccountName != "mirror-knative" {
		t.Errorf("the run is %+v of the service account %s", run.ObjectMeta, run.Spec.TaskRunTemplate.ServiceAccountName)
	}
	var owners, mounted, secrets []string
	for _, o := range run.OwnerReferences {
		owners = append(owners, o.Kind+" "+o.Name)
	}
	for _, w := range run.Spec.Workspaces {
		if w.Projected != nil {
			for _, source := range w.Projected.Sources {
				mounted = append(mounted, source.ConfigMap.Name)
			}
		}
		if w.Secret != nil {
			secrets = append(secrets, w.Secret.SecretName)
		}
	}
	if diff := cmp.Diff([]string{"ConfigMap set-knative", "ConfigMap set-2-knative"}, owners); diff != "" {
		t.Errorf("owners (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"set-knative", "set-2-knative"}, mounted); diff != "" {
		t.Errorf("mappings (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"push-knative", "pull-knative", "notify-knative"}, secrets); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
	for _, secret := range secrets {
		if !strings.HasSuffix(secret, "-knative") {
			t.Errorf("the run mounts the secret %s, which is none of its set", secret)
		}
	}
}

// Mistakes in settings are returned, and the other settings hold.
func TestMistakesInSettings(t *testing.T) {
	s := mustSet(t, configMap("set-knative", map[string]string{"settings.yaml": "apiVersion: imagemirror/v1\nkind: Settings\nmetadata:\n  name: knative\nspec:\n  shards: 3\n  shard: 4\n"}))
	if s.mistakes == nil || !strings.HasPrefix(s.mistakes.Error(), "image-sets/knative/settings.yaml:7: ") {
		t.Errorf("the mistakes are %v, want the line", s.mistakes)
	}
	if s.settings.Shards != 3 || s.settings.Timeout != settings.DefaultTimeout {
		t.Errorf("the settings are %+v", s.settings)
	}
}

// In one volume, one of two files of a name would hide the other.
func TestFileInTwoConfigMapsIsRefused(t *testing.T) {
	_, err := setOf("knative", []corev1.ConfigMap{
		configMap("set-knative", map[string]string{"mapping_a": "", "OWNERS": ""}),
		configMap("set-2-knative", map[string]string{"mapping_a": ""}),
	}, &policy.Policy{})
	var unfit *Unfit
	if !errors.As(err, &unfit) || err.Error() != "image-sets/knative/mapping_a is in the ConfigMaps set-knative and set-2-knative: remove the one that no kustomization makes any more" {
		t.Errorf("the error is %v", err)
	}
}

func TestExpiredRuns(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	keep := settings.History{Runs: 2, Failed: 2, Age: 24 * time.Hour}
	ran := func(name string, hours int) endedRun {
		return endedRun{name: name, failed: strings.HasPrefix(name, "f"), at: now.Add(-time.Duration(hours) * time.Hour)}
	}
	for _, c := range []struct {
		name  string
		ended []endedRun
		want  []string
	}{
		{"none", nil, nil},
		{"few", []endedRun{ran("s1", 1), ran("s2", 2)}, nil},
		{"beyond the count", []endedRun{ran("s3", 3), ran("s1", 1), ran("s2", 2), ran("s4", 4)}, []string{"s3", "s4"}},
		{"the last that failed", []endedRun{ran("s1", 1), ran("s2", 2), ran("f3", 3), ran("s4", 4), ran("f5", 5), ran("f6", 6)}, []string{"s4", "f6"}},
		{"too old", []endedRun{ran("s1", 25), ran("f2", 26)}, []string{"s1", "f2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, expired(c.ended, keep, now)); diff != "" {
				t.Errorf("expired (-want +got):\n%s", diff)
			}
		})
	}
}
