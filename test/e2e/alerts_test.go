//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"imagemirror/install/monitoring/alerttest"
	"imagemirror/internal/metrics"
	"imagemirror/internal/record"
)

// ago is how far checkAlerts moves the times of a record back.
const ago = 2 * time.Hour

// checkAlerts rotates a set's secret to a wrong one, suspends its CronJob and lets a destination
// get old. The real Prometheus and Alertmanager tell of each with the set's owners, and that it is
// over.
func (s *installed) checkAlerts() {
	s.t.Helper()
	const set, owners = "integr8ly", "managed-api-release,managed-api-dev"
	file := filepath.Join(s.root, "image-sets", set, "settings.yaml")
	content, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	// A run was due half an hour after the last one, as moved back. The next is due tomorrow.
	due := time.Now().Add(30*time.Minute - ago).UTC()
	schedule := fmt.Sprintf("  stale: 1h\n  schedule: \"%d %d * * *\"", due.Minute(), due.Hour())
	s.replace(file, scheduleRE.ReplaceAll(content, []byte(schedule)))
	store := s.records()
	server := httptest.NewServer(metrics.Handler(func(r *http.Request) ([]*record.Record, error) {
		one, err := store.Load(r.Context(), set)
		return []*record.Record{one}, err
	}))
	defer server.Close()
	target := alerttest.ScrapeTarget{Address: server.Listener.Addr().String(), Scheme: "http", Path: "/metrics"}
	stack := alerttest.Start(s.t, alerttest.ReadGroups(s.t, "../../install/monitoring/rules.yaml"), target)

	s.apply(s.secretYAML("push-"+set, s.login("robot-"+set, "rotated")))
	if e := s.await(s.begin(set)); e.succeeded {
		s.t.Errorf("with a wrong secret the run succeeds: %s", e.summary)
	}
	labels := func(alert string) map[string]string {
		return map[string]string{"alertname": alert, "set": set, "owners": owners}
	}
	refused := stack.Wait(s.t, "firing", labels("ImageSetCredentialsRefused"))
	if !strings.Contains(refused["summary"], "refuses the credentials of "+set) {
		s.t.Errorf("the summary is %q", refused["summary"])
	}
	s.suspend(set, true)
	s.moveBack(store, set)
	for _, alert := range []string{"ImageSetFailing", "ImageSetNotRunning", "ImageSetDestinationStale"} {
		stack.Wait(s.t, "firing", labels(alert))
	}
	s.apply(s.pushSecret(set))
	s.suspend(set, false)
	s.checkSucceeds(s.begin(set))
	for _, alert := range []string{
		"ImageSetFailing", "ImageSetNotRunning", "ImageSetDestinationStale", "ImageSetCredentialsRefused",
	} {
		stack.Wait(s.t, "resolved", labels(alert))
	}
}

// records opens the records of the sets, as a user who may do everything.
func (s *installed) records() *record.ConfigMaps {
	s.t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv(kubeconfigVar))
	if err != nil {
		s.t.Fatal(err)
	}
	store, err := record.OpenConfigMaps(config, s.name)
	if err != nil {
		s.t.Fatal(err)
	}
	return store
}

// suspend suspends the CronJob of a set, or lets it go on.
func (s *installed) suspend(set string, suspended bool) {
	s.t.Helper()
	s.kubectl("patch", "cronjob", "mirror-"+set, "--patch", fmt.Sprintf(`{"spec":{"suspend":%v}}`, suspended))
}

// moveBack makes what a record has older.
func (s *installed) moveBack(store record.Store, set string) {
	s.t.Helper()
	err := store.Update(s.t.Context(), set, func(r *record.Record) *record.Record {
		next := *r
		next.Runs, next.Destinations = nil, nil
		for _, run := range r.Runs {
			older := *run
			older.Start, older.End = run.Start.Add(-ago), run.End.Add(-ago)
			next.Runs = append(next.Runs, &older)
		}
		for _, d := range r.Destinations {
			older := *d
			for _, at := range []*time.Time{&older.LastGood, &older.FailingSince} {
				if !at.IsZero() {
					*at = at.Add(-ago)
				}
			}
			next.Destinations = append(next.Destinations, &older)
		}
		return &next
	})
	if err != nil {
		s.t.Fatal(err)
	}
}
