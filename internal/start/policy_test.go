package start

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"imagemirror/internal/policy"
)

// bounds is a policy with its keys from line 4.
const bounds = "apiVersion: imagemirror/v1\nkind: Policy\nspec:\n  shards: 4\n  cap: 32\n  rate: 9\n  retries: 5\n  timeout: 1h\n  interval: 1h\n  notify: [hooks.slack.com, \"mail.example.com:587\"]\n"

// boundSet returns the set knative with lines below the spec of its settings, from line 6, bound by
// a policy.
func boundSet(t *testing.T, text, spec string) *imageSet {
	t.Helper()
	p, err := policyOf(configMap(policy.ConfigMap, map[string]string{policy.File: text}))
	if err != nil {
		t.Fatal(err)
	}
	head := "apiVersion: imagemirror/v1\nkind: Settings\nmetadata:\n  name: knative\nspec:\n"
	s, err := setOf("knative", []corev1.ConfigMap{configMap("set-knative", map[string]string{"settings.yaml": head + spec})}, p)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Whatever settings ask for, a run gets what the policy allows, and mistakes name what is more.
func TestRunIsWithinThePolicy(t *testing.T) {
	for _, c := range []struct {
		name, spec string
		mistakes   []string          // their beginnings
		params     map[string]string // of the run
		timeout    time.Duration
	}{
		{"all that is more", "  cap: 1000\n  retries: 100\n  shards: 256\n  timeout: 168h\n  schedule: '* * * * *'\n  rate: 10000\n",
			[]string{"6: spec.cap is 1000, and image-sets/policy.yaml:5 allows 32 at most", "7: spec.retries is 100, and image-sets/policy.yaml:7", "8: spec.shards is 256, and image-sets/policy.yaml:4",
				"9: spec.timeout is 168h, and image-sets/policy.yaml:8", `10: spec.schedule is "* * * * *", which starts a run 1m after another, and image-sets/policy.yaml:9`, "11: spec.rate is 10000, and image-sets/policy.yaml:6"},
			map[string]string{"shards": "4", "cap": "32", "cap-rate": "9", "retries": "5", "notify-hosts": "hooks.slack.com,mail.example.com:587"}, time.Hour},
		{"defaults", "", nil, map[string]string{"shards": "4", "cap": "32", "cap-rate": "9", "retries": "5", "notify-hosts": "hooks.slack.com,mail.example.com:587"}, time.Hour},
		{"less", "  cap: 8\n  retries: 2\n  shards: 1\n  timeout: 30m\n  rate: 3\n  schedule: 5 */2 * * *\n", nil,
			map[string]string{"shards": "1", "cap": "8", "cap-rate": "3", "retries": "2", "notify-hosts": "hooks.slack.com,mail.example.com:587"}, 30 * time.Minute},
		{"another mistake, too", "  cap: 33\n  shard: 1\n", []string{"6: spec.cap is 33", `7: unknown key "shard"`},
			map[string]string{"shards": "4", "cap": "32", "cap-rate": "9", "retries": "5", "notify-hosts": "hooks.slack.com,mail.example.com:587"}, time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := boundSet(t, bounds, c.spec)
			var got []string
			if s.mistakes != nil {
				got = strings.Split(s.mistakes.Error(), "\n")
			}
			if len(got) != len(c.mistakes) {
				t.Fatalf("the mistakes are %q, want %q", got, c.mistakes)
			}
			for i, m := range got {
				if !strings.HasPrefix(m, "image-sets/knative/settings.yaml:"+c.mistakes[i]) {
					t.Errorf("got %q, want it to begin with %q", m, c.mistakes[i])
				}
			}
			run := (&Starter{}).newRun(s)
			params := map[string]string{}
			for _, p := range run.Spec.Params {
				if c.params[p.Name] != "" {
					params[p.Name] = p.Value.StringVal
				}
			}
			if diff := cmp.Diff(c.params, params); diff != "" || run.Spec.Timeouts.Pipeline.Duration != c.timeout {
				t.Errorf("the timeout is %s, the parameters (-want +got):\n%s", run.Spec.Timeouts.Pipeline.Duration, diff)
			}
			mounted := run.Spec.Workspaces[0].Projected.Sources
			if last := mounted[len(mounted)-1].ConfigMap; last.Name != "policy" || last.Items[0].Path != "policy.yaml" {
				t.Errorf("split does not find the policy: %+v", mounted)
			}
			run.Name = "x"
			checkTimes(t, thePipeline(t), run)
		})
	}
}

// What the policy's rules name is mounted with it.
func TestPolicyFilesAreMounted(t *testing.T) {
	s := boundSet(t, bounds+"  verify: {anyOf: [{key: policy-a.pub}]}\n", "")
	mounted := mount(s.bounds)[0].ConfigMap.Items
	if len(mounted) != 2 || mounted[1].Key != "policy-a.pub" || mounted[1].Path != "policy-a.pub" {
		t.Errorf("mounted %+v", mounted)
	}
}

// A set's own bounds replace those of all sets.
func TestPolicyOfOneSet(t *testing.T) {
	s := boundSet(t, bounds+"  sets:\n    knative: {cap: 128}\n    other: {cap: 4, shards: 1}\n", "  cap: 128\n")
	if s.mistakes != nil || s.settings.Cap != 128 || s.settings.Shards != 4 {
		t.Errorf("the settings are %+v (%v)", s.settings, s.mistakes)
	}
}

// No ConfigMap with a mistake is taken for no policy.
func TestPolicyConfigMap(t *testing.T) {
	for _, c := range []struct {
		name string
		data map[string]string
		says string
	}{
		{"empty", nil, "<nil>"},
		{"whole", map[string]string{"policy.yaml": bounds}, "<nil>"},
		{"another key", map[string]string{"policy.yml": bounds}, `the ConfigMap policy has "policy.yml" and no policy.yaml: rename the key`},
		{"an empty file", map[string]string{"policy.yaml": ""}, "image-sets/policy.yaml:1: apiVersion is missing"},
		{"a mistake", map[string]string{"policy.yaml": bounds + "  caps: 1\n"}, `image-sets/policy.yaml:11: unknown key "caps"`},
	} {
		if _, err := policyOf(configMap("policy", c.data)); !strings.HasPrefix(fmt.Sprint(err), c.says) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.says)
		}
	}
}

// Two runs of a set are at least the interval apart, less what the pods of a CronJob are late.
func TestTooEarly(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	ran := func(ago time.Duration) v1.PipelineRun {
		return v1.PipelineRun{ObjectMeta: metav1.ObjectMeta{Name: "mirror-knative-x", CreationTimestamp: metav1.NewTime(now.Add(-ago))}}
	}
	for _, c := range []struct {
		name, interval string
		runs           []v1.PipelineRun
		want           string
	}{
		{"no run yet", "1h", nil, ""},
		{"just now", "1h", []v1.PipelineRun{ran(0)}, "the run mirror-knative-x was created 0s ago, and image-sets/policy.yaml:4 allows one every 1h"},
		{"among older ones", "1h", []v1.PipelineRun{ran(3 * time.Hour), ran(54 * time.Minute), ran(2 * time.Hour)}, "the run mirror-knative-x was created 54m ago, and"},
		{"a pod that was late before", "1h", []v1.PipelineRun{ran(55 * time.Minute)}, ""},
		{"an hour", "1h", []v1.PipelineRun{ran(time.Hour)}, ""},
		{"a short interval", "10m", []v1.PipelineRun{ran(8*time.Minute + 59*time.Second)}, "the run mirror-knative-x was created 8m59s ago"},
		{"a day", "24h", []v1.PipelineRun{ran(23*time.Hour + 54*time.Minute)}, "the run"},
		{"a run from the future of this clock", "10m", []v1.PipelineRun{ran(-time.Minute)}, "the run"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := boundSet(t, "apiVersion: imagemirror/v1\nkind: Policy\nspec:\n  interval: "+c.interval+"\n", "")
			got := (&Starter{now: func() time.Time { return now }}).early(s, c.runs)
			if c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if keep := s.settings.History.Age; keep <= s.bounds.Interval.Value {
				t.Errorf("the run that the interval counts from is kept for %s", keep)
			}
		})
	}
	unbound := mustSet(t, configMap("set-knative", nil))
	if got := (&Starter{now: func() time.Time { return now }}).early(unbound, []v1.PipelineRun{ran(0)}); got != "" {
		t.Errorf("without a policy: %q", got)
	}
}
