// Package alerttest runs Debian's Prometheus and Alertmanager with the alerts of
// install/monitoring, for tests: what is scraped fires alerts, and a receiver gets them.
package alerttest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"imagemirror/internal/registrytest"
)

// An Alert is a rule that raises an alert, or that records a series.
type Alert struct {
	Alert       string            `json:"alert,omitempty"`
	Record      string            `json:"record,omitempty"`
	Expr        string            `json:"expr"`
	For         string            `json:"for,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Groups are the content of a file of rules.
type Groups struct {
	Groups []RuleGroup `json:"groups"`
}

// A RuleGroup has rules that are evaluated together.
type RuleGroup struct {
	Name  string  `json:"name"`
	Rules []Alert `json:"rules"`
}

// ReadGroups returns the rules of a PrometheusRule, which has one group.
func ReadGroups(t testing.TB, path string) Groups {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var object struct {
		APIVersion string         `json:"apiVersion"`
		Kind       string         `json:"kind"`
		Metadata   map[string]any `json:"metadata"`
		Spec       Groups         `json:"spec"`
	}
	if err := yaml.UnmarshalStrict(content, &object); err != nil {
		t.Fatal(err)
	}
	if object.Kind != "PrometheusRule" || len(object.Spec.Groups) != 1 {
		t.Fatalf("%s is %+v", path, object)
	}
	return object.Spec
}

// Find returns the path of a program of Debian's packages prometheus and prometheus-alertmanager.
// If it cannot be had, the test is skipped, or fails if CI=true.
func Find(t testing.TB, pkg, program string) string {
	t.Helper()
	path, err := registrytest.FindDebian(os.Stderr, pkg, program)
	if errors.Is(err, registrytest.ErrNoDebian) || err != nil && os.Getenv("CI") != "true" {
		t.Skipf("no %s: %v", program, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// A Stack is a Prometheus, an Alertmanager and a receiver.
type Stack struct {
	receiver *httptest.Server

	mu   sync.Mutex
	last map[string]alert // by labels
	news chan struct{}    // has an element once an alert arrived
}

type alert struct {
	Status      string            `json:"status"` // firing or resolved
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// A ScrapeTarget is where Prometheus scrapes.
type ScrapeTarget struct {
	Address string         // HOST:PORT
	Scheme  string         // http or https
	Path    string         // of the metrics
	Options map[string]any // more of the scrape configuration, such as tls_config
}

// Start starts a Stack, which ends with the test. Its alerts fire at once: "for" is left out of the
// rules. It scrapes each second, and evaluates each half second.
func Start(t testing.TB, rules Groups, target ScrapeTarget) *Stack {
	t.Helper()
	prometheus, alertmanager := Find(t, "prometheus", "prometheus"), Find(t, "prometheus-alertmanager", "prometheus-alertmanager")
	s := &Stack{last: map[string]alert{}, news: make(chan struct{}, 1)}
	s.receiver = httptest.NewServer(http.HandlerFunc(s.receive))
	t.Cleanup(s.receiver.Close)
	dir := t.TempDir()
	for i := range rules.Groups {
		rules.Groups[i].Rules = slices.Clone(rules.Groups[i].Rules)
		for j := range rules.Groups[i].Rules {
			rules.Groups[i].Rules[j].For = ""
		}
	}
	alerts, web := "127.0.0.1:"+registrytest.UnusedPort(t), "127.0.0.1:"+registrytest.UnusedPort(t)
	job := map[string]any{
		"job_name": "imagemirror", "scheme": target.Scheme, "metrics_path": target.Path,
		"static_configs": []any{map[string]any{"targets": []string{target.Address}}},
	}
	maps.Copy(job, target.Options)
	writeYAML(t, filepath.Join(dir, "rules.yml"), rules)
	writeYAML(t, filepath.Join(dir, "prometheus.yml"), map[string]any{
		"global":         map[string]any{"scrape_interval": "1s", "evaluation_interval": "500ms", "scrape_timeout": "1s"},
		"rule_files":     []string{"rules.yml"},
		"scrape_configs": []any{job},
		"alerting": map[string]any{"alertmanagers": []any{map[string]any{
			"static_configs": []any{map[string]any{"targets": []string{alerts}}},
		}}},
	})
	writeYAML(t, filepath.Join(dir, "alertmanager.yml"), map[string]any{
		"route": map[string]any{"receiver": "test", "group_by": []string{"..."}, "group_wait": "100ms", "group_interval": "500ms", "repeat_interval": "1h"},
		"receivers": []any{map[string]any{"name": "test", "webhook_configs": []any{
			map[string]any{"url": s.receiver.URL, "send_resolved": true},
		}}},
	})
	start(t, dir, alertmanager, "--config.file=alertmanager.yml", "--storage.path=alerts", "--web.listen-address="+alerts, "--cluster.listen-address=")
	start(t, dir, prometheus, "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address="+web, "--rules.alert.resend-delay=1s",
		"--web.console.libraries=.", "--web.console.templates=.")
	return s
}

func writeYAML(t testing.TB, path string, v any) {
	t.Helper()
	content, err := yaml.Marshal(v)
	if err == nil {
		err = os.WriteFile(path, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// start starts a program, and shows what it wrote if the test fails.
func start(t testing.TB, dir, program string, args ...string) {
	t.Helper()
	log, err := os.CreateTemp(dir, "log")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
		log.Close()
		if content, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(program), content[max(0, len(content)-4000):])
		}
	})
}

// receive takes what Alertmanager sends.
func (s *Stack) receive(_ http.ResponseWriter, r *http.Request) {
	var message struct {
		Alerts []alert `json:"alerts"`
	}
	content, err := io.ReadAll(r.Body)
	if err != nil || json.Unmarshal(content, &message) != nil {
		return
	}
	s.mu.Lock()
	for _, a := range message.Alerts {
		s.last[fmt.Sprint(a.Labels)] = a
	}
	s.mu.Unlock()
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// find returns the last message about an alert that has the labels.
func (s *Stack) find(labels map[string]string) (alert, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.last {
		all := true
		for key, value := range labels {
			all = all && a.Labels[key] == value
		}
		if all {
			return a, true
		}
	}
	return alert{}, false
}

// Wait waits until the receiver was told that the alert with the labels is firing or resolved, and
// returns its annotations.
func (s *Stack) Wait(t testing.TB, status string, labels map[string]string) map[string]string {
	t.Helper()
	deadline := time.After(5 * time.Minute) // for a busy machine
	for {
		if a, found := s.find(labels); found && a.Status == status {
			return a.Annotations
		}
		select {
		case <-s.news:
		case <-deadline:
			s.mu.Lock()
			defer s.mu.Unlock()
			t.Fatalf("no alert %v is %s; the receiver has %v", labels, status, s.last)
		}
	}
}

// Told reports whether the receiver was ever told of an alert with the labels.
func (s *Stack) Told(labels map[string]string) bool {
	_, found := s.find(labels)
	return found
}
