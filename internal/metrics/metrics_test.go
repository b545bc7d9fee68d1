package metrics

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"imagemirror/internal/record"
)

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// records returns a set that fails, and one that has nothing yet.
func records() []*record.Record {
	web := &record.Record{
		Version: record.Version, Set: "web", Owners: []string{"ada", "bob"}, Schedule: "7 * * * *", StaleSeconds: 3600,
		Runs: []*record.Run{
			{ID: "a", Start: noon.Add(-2 * time.Hour), End: noon.Add(-90 * time.Minute), Verdict: record.Good},
			{ID: "b", Start: noon.Add(-10 * time.Minute), End: noon.Add(-5 * time.Minute), Verdict: record.Failed, Bytes: 1 << 30, Registries: []*record.Traffic{
				{Host: "ci.example.com", Requests: 40, Bytes: 1 << 30}, {Host: "quay.io", Requests: 100, Retries: 12, Throttled: 9, Bytes: 1 << 30}}},
		},
		Destinations: []*record.Destination{
			{Name: "quay.io/web/a:1", LastGood: noon.Add(-5 * time.Minute), Hold: &record.Hold{}},
			{Name: "quay.io/web/b:1", LastGood: noon.Add(-90 * time.Minute), FailingSince: noon.Add(-5 * time.Minute), Cause: "k"},
			{Name: "quay.io/web/c:1", FailingSince: noon.Add(-5 * time.Minute), Cause: "k"},
			{Name: "quay.io/web/d:1", Gone: noon, LastGood: noon.Add(-99 * time.Hour)},
		},
		Causes:        []*record.Cause{{Key: "k", Kind: "credentials", Side: "destination", Host: "quay.io", Count: 2}, {Key: "l", Kind: "credentials", Side: "destination", Host: "quay.io", Count: 1}},
		Notifications: record.Notifications{Delivered: 3, Failed: 1, LastFail: noon, LastError: `no "route"` + "\\"},
	}
	return []*record.Record{web, {Version: record.Version, Set: `odd "set"\`}, {Version: record.Version, Set: "web"}}
}

const text = `# HELP imagemirror_destinations Destinations that mappings name, by state: good or failing.
# TYPE imagemirror_destinations gauge
imagemirror_destinations{set="odd \"set\"\\",state="failing"} 0
imagemirror_destinations{set="odd \"set\"\\",state="good"} 0
imagemirror_destinations{set="web",state="failing"} 2
imagemirror_destinations{set="web",state="good"} 1
# HELP imagemirror_failing_destinations Destinations that fail, by cause; 0 if the cause is about the run as a whole.
# TYPE imagemirror_failing_destinations gauge
imagemirror_failing_destinations{host="quay.io",kind="credentials",set="web",side="destination"} 3
# HELP imagemirror_held_destinations Destinations that a rollback holds at an earlier image.
# TYPE imagemirror_held_destinations gauge
imagemirror_held_destinations{set="odd \"set\"\\"} 0
imagemirror_held_destinations{set="web"} 1
# HELP imagemirror_last_run_duration_seconds How long the last run took.
# TYPE imagemirror_last_run_duration_seconds gauge
imagemirror_last_run_duration_seconds{set="web"} 300
# HELP imagemirror_last_run_registry_bytes Bytes of bodies that the last run read from a registry and sent to it.
# TYPE imagemirror_last_run_registry_bytes gauge
imagemirror_last_run_registry_bytes{host="ci.example.com",set="web"} 1.073741824e+09
imagemirror_last_run_registry_bytes{host="quay.io",set="web"} 1.073741824e+09
# HELP imagemirror_last_run_requests Requests of the last run, by registry.
# TYPE imagemirror_last_run_requests gauge
imagemirror_last_run_requests{host="ci.example.com",set="web"} 40
imagemirror_last_run_requests{host="quay.io",set="web"} 100
# HELP imagemirror_last_run_retries Requests of the last run that were sent again, by registry.
# TYPE imagemirror_last_run_retries gauge
imagemirror_last_run_retries{host="ci.example.com",set="web"} 0
imagemirror_last_run_retries{host="quay.io",set="web"} 12
# HELP imagemirror_last_run_sent_bytes Blob bytes that the last run sent.
# TYPE imagemirror_last_run_sent_bytes gauge
imagemirror_last_run_sent_bytes{set="web"} 1.073741824e+09
# HELP imagemirror_last_run_success Whether the last run was good: 1, or 0.
# TYPE imagemirror_last_run_success gauge
imagemirror_last_run_success{set="web"} 0
# HELP imagemirror_last_run_throttled Answers of the last run that asked to slow down, by registry.
# TYPE imagemirror_last_run_throttled gauge
imagemirror_last_run_throttled{host="ci.example.com",set="web"} 0
imagemirror_last_run_throttled{host="quay.io",set="web"} 9
# HELP imagemirror_last_run_timestamp_seconds When the last run ended.
# TYPE imagemirror_last_run_timestamp_seconds gauge
imagemirror_last_run_timestamp_seconds{set="web"} 1.7959533e+09
# HELP imagemirror_last_success_timestamp_seconds When the last good run ended; absent if none is recorded.
# TYPE imagemirror_last_success_timestamp_seconds gauge
imagemirror_last_success_timestamp_seconds{set="web"} 1.7959482e+09
# HELP imagemirror_longest_run_duration_seconds How long the longest of the recorded runs took.
# TYPE imagemirror_longest_run_duration_seconds gauge
imagemirror_longest_run_duration_seconds{set="web"} 1800
# HELP imagemirror_next_run_timestamp_seconds When the schedule starts the first run after the end of the last one; absent without a schedule.
# TYPE imagemirror_next_run_timestamp_seconds gauge
imagemirror_next_run_timestamp_seconds{set="web"} 1.79595402e+09
# HELP imagemirror_notifications_failing Whether the last notification was not delivered: 1, or 0.
# TYPE imagemirror_notifications_failing gauge
imagemirror_notifications_failing{set="odd \"set\"\\"} 0
imagemirror_notifications_failing{set="web"} 1
# HELP imagemirror_notifications_total Notifications, by result: delivered, or failed after all attempts.
# TYPE imagemirror_notifications_total counter
imagemirror_notifications_total{result="delivered",set="odd \"set\"\\"} 0
imagemirror_notifications_total{result="delivered",set="web"} 3
imagemirror_notifications_total{result="failed",set="odd \"set\"\\"} 0
imagemirror_notifications_total{result="failed",set="web"} 1
# HELP imagemirror_oldest_good_timestamp_seconds When the destination that has not been good for longest was good last.
# TYPE imagemirror_oldest_good_timestamp_seconds gauge
imagemirror_oldest_good_timestamp_seconds{set="web"} 1.7959482e+09
# HELP imagemirror_runs Recorded runs, 200 at most, by verdict.
# TYPE imagemirror_runs gauge
imagemirror_runs{set="odd \"set\"\\",verdict="failed"} 0
imagemirror_runs{set="odd \"set\"\\",verdict="good"} 0
imagemirror_runs{set="odd \"set\"\\",verdict="noPlan"} 0
imagemirror_runs{set="web",verdict="failed"} 1
imagemirror_runs{set="web",verdict="good"} 1
imagemirror_runs{set="web",verdict="noPlan"} 0
# HELP imagemirror_set_info An image set, its owners and its schedule; always 1.
# TYPE imagemirror_set_info gauge
imagemirror_set_info{owners="",schedule="",set="odd \"set\"\\"} 1
imagemirror_set_info{owners="ada,bob",schedule="7 * * * *",set="web"} 1
# HELP imagemirror_stale_destinations Destinations that have not been good for longer than the set's settings allow, when this was written.
# TYPE imagemirror_stale_destinations gauge
imagemirror_stale_destinations{set="odd \"set\"\\"} 0
imagemirror_stale_destinations{set="web"} 1
# HELP imagemirror_stale_threshold_seconds Age at which a destination is stale, from the set's settings; absent if none ever is.
# TYPE imagemirror_stale_threshold_seconds gauge
imagemirror_stale_threshold_seconds{set="web"} 3600
`

func TestWrite(t *testing.T) {
	var b strings.Builder
	if err := Write(&b, records(), noon); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(text, b.String()); diff != "" {
		t.Errorf("the metrics (-want +got):\n%s", diff)
	}
}

func TestNamesFollowPrometheusRules(t *testing.T) {
	problems, err := testutil.GatherAndLint(New(records(), noon))
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

func TestHandler(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
		body string
	}{
		{nil, http.StatusOK, "# HELP imagemirror_destinations"},
		{errors.New("a secret"), http.StatusServiceUnavailable, "the records cannot be read\n"},
	} {
		w := httptest.NewRecorder()
		Handler(func(*http.Request) ([]*record.Record, error) { return records(), c.err }).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		if w.Code != c.want || !strings.HasPrefix(w.Body.String(), c.body) {
			t.Errorf("%d: %.100s", w.Code, w.Body)
		}
	}
}

// docs/reference/metrics.md has each metric with its labels, and its help as the code has it.
func TestDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/reference/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, m := range families {
		want = append(want, fmt.Sprintf("| `%s` | %s | %s |", m.name, strings.Join(append([]string{"set"}, m.labels...), ", "), m.help))
	}
	got := regexp.MustCompile("(?m)^\\| `imagemirror_.*$").FindAllString(string(doc), -1)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/reference/metrics.md (-code +doc):\n%s", diff)
	}
}

func BenchmarkWrite(b *testing.B) {
	var all []*record.Record
	for i := range 200 {
		r := *records()[0]
		r.Set = fmt.Sprintf("set-%d", i)
		for j := range 25 {
			r.Destinations = append(r.Destinations, &record.Destination{Name: fmt.Sprintf("quay.io/x/y:%d", j), LastGood: noon})
		}
		all = append(all, &r)
	}
	for b.Loop() {
		if err := Write(new(strings.Builder), all, noon); err != nil {
			b.Fatal(err)
		}
	}
}
