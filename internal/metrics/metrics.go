// Package metrics makes Prometheus metrics from the records of image sets. They tell what the
// last runs left, so that a page, a scrape and a file for node_exporter have the same.
package metrics

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"

	"imagemirror/internal/record"
	"imagemirror/internal/settings"
)

// File is the name of the file that node_exporter's textfile collector reads.
const File = "metrics.prom"

// States of a destination.
const (
	good    = "good"    // the last run that had a result for it left it as the mapping wants
	failing = "failing" // it did not
)

// A metric is one family.
type metric struct {
	name, help string
	labels     []string // after set
	kind       prometheus.ValueType
	collect    func(s *measuredSet, add func(value float64, labels ...string))
}

// A measuredSet is a record, and what is counted of its destinations.
type measuredSet struct {
	*record.Record
	states map[string]int
	stale  int
	held   int
	oldest time.Time // of the times at which destinations were last good
}

// families are all metrics. docs/reference/metrics.md has a row for each.
var families = []metric{
	{"imagemirror_set_info", "An image set, its owners and its schedule; always 1.", []string{"owners", "schedule"}, prometheus.GaugeValue,
		func(s *measuredSet, add func(float64, ...string)) { add(1, strings.Join(s.Owners, ","), s.Schedule) }},
	{"imagemirror_last_run_timestamp_seconds", "When the last run ended.", nil, prometheus.GaugeValue,
		ofLast(func(r *record.Run) float64 { return unixSeconds(r.End) })},
	{"imagemirror_last_success_timestamp_seconds", "When the last good run ended; absent if none is recorded.", nil, prometheus.GaugeValue,
		func(s *measuredSet, add func(float64, ...string)) {
			if r := s.LastGood(); r != nil {
				add(unixSeconds(r.End))
			}
		}},
	{"imagemirror_last_run_success", "Whether the last run was good: 1, or 0.", nil, prometheus.GaugeValue,
		ofLast(func(r *record.Run) float64 { return truth(r.Verdict == record.Good) })},
	{"imagemirror_last_run_duration_seconds", "How long the last run took.", nil, prometheus.GaugeValue,
		ofLast(func(r *record.Run) float64 { return max(0, r.End.Sub(r.Start).Seconds()) })},
	{"imagemirror_last_run_sent_bytes", "Blob bytes that the last run sent.", nil, prometheus.GaugeValue,
		ofLast(func(r *record.Run) float64 { return float64(r.Bytes) })},
	{"imagemirror_longest_run_duration_seconds", "How long the longest of the recorded runs took.", nil, prometheus.GaugeValue, longest},
	{"imagemirror_next_run_timestamp_seconds", "When the schedule starts the first run after the end of the last one; absent without a schedule.", nil,
		prometheus.GaugeValue, nextRun},
	{"imagemirror_runs", "Recorded runs, 200 at most, by verdict.", []string{"verdict"}, prometheus.GaugeValue, verdicts},
	{"imagemirror_destinations", "Destinations that mappings name, by state: good or failing.", []string{"state"}, prometheus.GaugeValue,
		func(s *measuredSet, add func(float64, ...string)) {
			add(float64(s.states[good]), good)
			add(float64(s.states[failing]), failing)
		}},
	{"imagemirror_failing_destinations", "Destinations that fail, by cause; 0 if the cause is about the run as a whole.", []string{"kind", "side", "host"},
		prometheus.GaugeValue, addCauses},
	{"imagemirror_stale_destinations", "Destinations that have not been good for longer than the set's settings allow, when this was written.", nil,
		prometheus.GaugeValue, func(s *measuredSet, add func(float64, ...string)) { add(float64(s.stale)) }},
	{"imagemirror_held_destinations", "Destinations that a rollback holds at an earlier image.", nil, prometheus.GaugeValue,
		func(s *measuredSet, add func(float64, ...string)) { add(float64(s.held)) }},
	{"imagemirror_oldest_good_timestamp_seconds", "When the destination that has not been good for longest was good last.", nil, prometheus.GaugeValue,
		func(s *measuredSet, add func(float64, ...string)) {
			if !s.oldest.IsZero() {
				add(unixSeconds(s.oldest))
			}
		}},
	{"imagemirror_stale_threshold_seconds", "Age at which a destination is stale, from the set's settings; absent if none ever is.", nil, prometheus.GaugeValue,
		func(s *measuredSet, add func(float64, ...string)) {
			if s.StaleSeconds > 0 {
				add(float64(s.StaleSeconds))
			}
		}},
	{"imagemirror_last_run_requests", "Requests of the last run, by registry.", []string{"host"}, prometheus.GaugeValue,
		ofRegistries(func(r *record.Traffic) int64 { return r.Requests })},
	{"imagemirror_last_run_retries", "Requests of the last run that were sent again, by registry.", []string{"host"}, prometheus.GaugeValue,
		ofRegistries(func(r *record.Traffic) int64 { return r.Retries })},
	{"imagemirror_last_run_throttled", "Answers of the last run that asked to slow down, by registry.", []string{"host"}, prometheus.GaugeValue,
		ofRegistries(func(r *record.Traffic) int64 { return r.Throttled })},
	{"imagemirror_last_run_registry_bytes", "Bytes of bodies that the last run read from a registry and sent to it.", []string{"host"}, prometheus.GaugeValue,
		ofRegistries(func(r *record.Traffic) int64 { return r.Bytes })},
	{"imagemirror_notifications_total", "Notifications, by result: delivered, or failed after all attempts.", []string{"result"}, prometheus.CounterValue,
		func(s *measuredSet, add func(float64, ...string)) {
			add(float64(s.Notifications.Delivered), "delivered")
			add(float64(s.Notifications.Failed), "failed")
		}},
	{"imagemirror_notifications_failing", "Whether the last notification was not delivered: 1, or 0.", nil, prometheus.GaugeValue,
		func(s *measuredSet, add func(float64, ...string)) { add(truth(s.Notifications.LastError != "")) }},
}

// ofLast collects a value of the last run.
func ofLast(value func(*record.Run) float64) func(*measuredSet, func(float64, ...string)) {
	return func(s *measuredSet, add func(float64, ...string)) {
		if r := s.LastRun(); r != nil {
			add(value(r))
		}
	}
}

// ofRegistries collects a value of each registry of the last run.
func ofRegistries(value func(*record.Traffic) int64) func(*measuredSet, func(float64, ...string)) {
	return func(s *measuredSet, add func(float64, ...string)) {
		r := s.LastRun()
		if r == nil {
			return
		}
		seen := map[string]bool{}
		for _, one := range r.Registries {
			if !seen[one.Host] {
				seen[one.Host] = true
				add(float64(value(one)), one.Host)
			}
		}
	}
}

func longest(s *measuredSet, add func(float64, ...string)) {
	most := 0.0
	for _, r := range s.Runs {
		most = max(most, r.End.Sub(r.Start).Seconds())
	}
	if len(s.Runs) > 0 {
		add(most)
	}
}

func nextRun(s *measuredSet, add func(float64, ...string)) {
	last := s.LastRun()
	if last == nil {
		return
	}
	if next := settings.NextStart(s.Schedule, last.End); !next.IsZero() {
		add(unixSeconds(next))
	}
}

func verdicts(s *measuredSet, add func(float64, ...string)) {
	counts := map[record.Verdict]int{}
	for _, r := range s.Runs {
		counts[r.Verdict]++
	}
	for _, v := range []record.Verdict{record.Good, record.Failed, record.NoPlan} {
		add(float64(counts[v]), string(v))
	}
}

// addCauses collects the destinations of each cause. Causes that differ in their keys only are one.
func addCauses(s *measuredSet, add func(float64, ...string)) {
	type labels struct{ kind, side, host string }
	counts := map[labels]int{}
	for _, c := range s.Causes {
		counts[labels{c.Kind, c.Side, c.Host}] += c.Count
	}
	for l, n := range counts {
		add(float64(n), l.kind, l.side, l.host)
	}
}

func unixSeconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// newMeasuredSet counts the destinations of a record. One that was never good is as old as its
// failure.
func newMeasuredSet(r *record.Record, now time.Time) *measuredSet {
	s := &measuredSet{Record: r, states: map[string]int{}, held: len(r.Held())}
	threshold := time.Duration(r.StaleSeconds) * time.Second
	for _, d := range r.Destinations {
		if !d.Gone.IsZero() {
			continue
		}
		state := good
		if !d.FailingSince.IsZero() {
			state = failing
		}
		s.states[state]++
		last := d.LastGood
		if last.IsZero() {
			last = d.FailingSince
		}
		if last.IsZero() {
			continue
		}
		if s.oldest.IsZero() || last.Before(s.oldest) {
			s.oldest = last
		}
		if threshold > 0 && now.Sub(last) > threshold {
			s.stale++
		}
	}
	return s
}

// A recordCollector collects the metrics of records.
type recordCollector struct {
	sets  []*measuredSet
	descs []*prometheus.Desc
}

// New returns the metrics of records, one for each set.
func New(records []*record.Record, now time.Time) prometheus.Gatherer {
	c := &recordCollector{}
	for _, r := range records {
		if !slices.ContainsFunc(c.sets, func(s *measuredSet) bool { return s.Set == r.Set }) {
			c.sets = append(c.sets, newMeasuredSet(r, now))
		}
	}
	for _, m := range families {
		c.descs = append(c.descs, prometheus.NewDesc(m.name, m.help, append([]string{"set"}, m.labels...), nil))
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	return registry
}

// Describe implements prometheus.Collector.
func (c *recordCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *recordCollector) Collect(out chan<- prometheus.Metric) {
	for _, s := range c.sets {
		for i, m := range families {
			m.collect(s, func(value float64, labels ...string) {
				out <- prometheus.MustNewConstMetric(c.descs[i], m.kind, value, append([]string{s.Set}, labels...)...)
			})
		}
	}
}

// Write writes the metrics of records in Prometheus's text format.
func Write(w io.Writer, records []*record.Record, now time.Time) error {
	all, err := New(records, now).Gather()
	if err != nil {
		return err
	}
	for _, family := range all {
		if _, err := expfmt.MetricFamilyToText(w, family); err != nil {
			return err
		}
	}
	return nil
}

// Handler serves the metrics of the records that load returns for a request.
func Handler(load func(*http.Request) ([]*record.Record, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		records, err := load(r)
		if err != nil {
			http.Error(w, "the records cannot be read", http.StatusServiceUnavailable)
			return
		}
		promhttp.HandlerFor(New(records, time.Now()), promhttp.HandlerOpts{}).ServeHTTP(w, r)
	})
}
