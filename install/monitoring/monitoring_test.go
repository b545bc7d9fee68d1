// Package monitoring has no code. Its tests give the alerts and the dashboard to promtool.
package monitoring

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"imagemirror/install/monitoring/alerttest"
	"imagemirror/internal/fault"
	"imagemirror/internal/metrics"
	"imagemirror/internal/record"
)

// promtool returns a command of Prometheus's promtool.
func promtool(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), alerttest.Find(t, "prometheus", "promtool"), args...)
	cmd.Dir = dir
	return cmd
}

func rules(t *testing.T) alerttest.Groups {
	t.Helper()
	return alerttest.ReadGroups(t, "rules.yaml")
}

func write(t *testing.T, path string, v any) {
	t.Helper()
	content, err := yaml.Marshal(v)
	if err == nil {
		err = os.WriteFile(path, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestAlerts(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "rules.yaml"), rules(t))
	content, err := os.ReadFile("testdata/rules_test.yaml")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "rules_test.yaml"), content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"check", "rules", "rules.yaml"}, {"test", "rules", "rules_test.yaml"}} {
		if out, err := promtool(t, dir, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// Each alert names the set and its owners, has an entry in the runbook, and is tested.
func TestAlertsHaveWhatPeopleNeed(t *testing.T) {
	tests, err := os.ReadFile("testdata/rules_test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	runbook, err := os.ReadFile("../../docs/how-to/on-call.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules(t).Groups[0].Rules {
		if !strings.Contains(string(runbook), "\n### "+r.Alert+"\n") {
			t.Errorf("docs/how-to/on-call.md has no section %s", r.Alert)
		}
		if want := "docs/how-to/on-call.md#" + strings.ToLower(r.Alert); r.Annotations["runbook_url"] != want {
			t.Errorf("the runbook of %s is %q, want %q", r.Alert, r.Annotations["runbook_url"], want)
		}
		text := r.Annotations["summary"] + r.Annotations["description"]
		if r.Alert != "ImageSetMetricsMissing" && !(strings.Contains(text, "$labels.set") && strings.Contains(text, "$labels.owners")) {
			t.Errorf("%s does not name the set and its owners", r.Alert)
		}
		if r.Labels["severity"] == "" || !strings.Contains(string(tests), "alertname: "+r.Alert+"\n") {
			t.Errorf("%s has the severity %q, or no test", r.Alert, r.Labels["severity"])
		}
	}
}

// known returns the names of all metrics.
func known(t *testing.T) map[string]bool {
	t.Helper()
	now := time.Now()
	r := &record.Record{
		Set: "a", Schedule: "@hourly", StaleSeconds: 3600, Causes: []*record.Cause{{Key: "k"}},
		Runs:         []*record.Run{{Start: now, End: now, Verdict: record.Good, Registries: []*record.Traffic{{Host: "quay.io"}}}},
		Destinations: []*record.Destination{{Name: "a", LastGood: now}},
	}
	all, err := metrics.New([]*record.Record{r}, now).Gather()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, family := range all {
		names[family.GetName()] = true
	}
	return names
}

var metricRE = regexp.MustCompile(`imagemirror_[a-z_]+`)

// The queries of the dashboard are PromQL, and alerts and dashboard use metrics that there are.
// The dashboard has all of them.
func TestDashboard(t *testing.T) {
	content, err := os.ReadFile("dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(content, &dashboard); err != nil {
		t.Fatal(err)
	}
	queries := rules(t)
	shown := map[string]bool{}
	variables := strings.NewReplacer("$namespace", ".*", "$set", ".*")
	ids := map[int]bool{}
	for _, p := range dashboard.Panels {
		if ids[p.ID] || p.Title == "" || len(p.Targets) == 0 {
			t.Errorf("the panel %d %q has no query, or an ID that another has", p.ID, p.Title)
		}
		ids[p.ID] = true
		for i, q := range p.Targets {
			queries.Groups[0].Rules = append(queries.Groups[0].Rules, alerttest.Alert{Record: fmt.Sprintf("panel_%d_%d", p.ID, i), Expr: variables.Replace(q.Expr)})
			for _, name := range metricRE.FindAllString(q.Expr, -1) {
				shown[name] = true
			}
		}
	}
	names := known(t)
	for _, r := range queries.Groups[0].Rules {
		for _, name := range metricRE.FindAllString(r.Expr, -1) {
			if !names[name] {
				t.Errorf("there is no metric %s: %s", name, r.Expr)
			}
		}
	}
	for name := range names {
		if !shown[name] && name != "imagemirror_last_run_timestamp_seconds" && name != "imagemirror_stale_destinations" {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "rules.yaml"), queries)
	if out, err := promtool(t, dir, "check", "rules", "rules.yaml").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// The kustomization installs all files into the namespace of the image sets.
func TestKustomization(t *testing.T) {
	all, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), ".")
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, r := range all.Resources() {
		kinds = append(kinds, r.GetKind())
		if r.GetNamespace() != "image-mirror" {
			t.Errorf("%s is in the namespace %q", r.GetKind(), r.GetNamespace())
		}
	}
	if got := strings.Join(kinds, " "); got != "ServiceMonitor PrometheusRule ConfigMap" {
		t.Errorf("the kustomization has %s", got)
	}
}

// Alertmanager tells of each fault of a set, with its owners, and that it is over.
func TestAlertsArrive(t *testing.T) {
	var mu sync.Mutex
	var records []*record.Record
	set := func(changes ...func(*record.Record)) {
		now := time.Now()
		r := &record.Record{
			Set: "web", Owners: []string{"ada", "bob"}, Schedule: "* * * * *", StaleSeconds: 3600,
			Runs:         []*record.Run{{Start: now, End: now, Verdict: record.Good, Registries: []*record.Traffic{{Host: "quay.io", Requests: 100}}}},
			Destinations: []*record.Destination{{Name: "quay.io/web/a:1", LastGood: now}},
		}
		for _, change := range changes {
			change(r)
		}
		mu.Lock()
		defer mu.Unlock()
		records = []*record.Record{r}
	}
	set(
		func(r *record.Record) { r.Runs[0].Verdict = record.Failed },
		func(r *record.Record) {
			r.Causes = []*record.Cause{{Key: "k", Kind: string(fault.Credentials), Side: "destination", Host: "quay.io", Count: 1}}
		},
		func(r *record.Record) { r.Destinations[0].LastGood = time.Now().Add(-61 * time.Minute) },
		func(r *record.Record) {
			r.Runs[0].Start = time.Now().Add(-40 * time.Minute)
			r.Runs[0].End = r.Runs[0].Start.Add(time.Minute)
		},
		func(r *record.Record) { r.Runs[0].Registries[0].Throttled = 50 },
		func(r *record.Record) { r.Notifications.LastError = "no route" },
	)
	server := httptest.NewServer(metrics.Handler(func(*http.Request) ([]*record.Record, error) {
		mu.Lock()
		defer mu.Unlock()
		return records, nil
	}))
	defer server.Close()
	s := alerttest.Start(t, rules(t), alerttest.ScrapeTarget{Address: server.Listener.Addr().String(), Scheme: "http", Path: "/metrics"})
	all := []string{
		"ImageSetFailing", "ImageSetCredentialsRefused", "ImageSetDestinationStale", "ImageSetNotRunning", "ImageSetRegistryThrottling", "ImageSetNotificationsFailing",
	}
	for _, status := range []string{"firing", "resolved"} {
		for _, name := range all {
			s.Wait(t, status, map[string]string{"alertname": name, "set": "web", "owners": "ada,bob"})
		}
		set()
	}
}
