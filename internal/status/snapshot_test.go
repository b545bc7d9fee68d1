package status

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/link"
	"imagemirror/internal/record"
)

func TestStateOfASet(t *testing.T) {
	hours := func(r *record.Record, h int) *record.Record {
		for _, run := range r.Runs {
			run.Start, run.End = run.Start.Add(-time.Duration(h)*time.Hour), run.End.Add(-time.Duration(h)*time.Hour)
		}
		return r
	}
	long := func(r *record.Record, d time.Duration) *record.Record {
		r.Runs[1].Start = r.Runs[1].End.Add(-d)
		return r
	}
	refused := goodSet("a", 2, 3, 1)
	refused.Runs[1].Verdict, refused.Runs[2].Verdict = record.Failed, record.NoPlan
	unscheduled := hours(goodSet("a", 2, 3, 1), 1000)
	unscheduled.Schedule = ""
	hostile := hours(goodSet("a", 2, 3, 1), 1000)
	hostile.Schedule = "TZ=Mars 1 2 3 4 5"
	never := goodSet("a", 2, 3, 1)
	never.Schedule = "0 0 30 2 *"
	for _, c := range []struct {
		name   string
		record *record.Record
		active []Active
		state  State
		since  time.Time
	}{
		{"good", goodSet("a", 2, 3, 1), nil, Good, time.Time{}},
		{"no run yet", goodSet("a", 0, 0, 0), nil, Waiting, time.Time{}},
		{"a destination fails", fail(goodSet("a", 2, 3, 1), expired, 1, 5*time.Hour), nil, Failing, ago(5 * time.Hour)},
		{"the last runs were not good", refused, nil, Failing, refused.Runs[1].End},
		{"a run is late", long(hours(goodSet("a", 2, 3, 1), 1), 20*time.Minute), nil, Good, time.Time{}},
		{"a run was missed", hours(goodSet("a", 2, 3, 1), 1), nil, Overdue, ago(56*time.Minute + 5*time.Second)},
		{"runs were missed", hours(goodSet("a", 2, 3, 1), 3), nil, Overdue, ago(2*time.Hour + 56*time.Minute + 5*time.Second)},
		{"a run takes long", hours(goodSet("a", 2, 3, 1), 3), []Active{{"a", "a-1", ago(time.Hour)}}, Good, time.Time{}},
		{"failing and overdue", fail(hours(goodSet("a", 2, 3, 1), 3), expired, 2, 2*time.Hour), nil, Failing, ago(2 * time.Hour)},
		{"no schedule", unscheduled, nil, Good, time.Time{}},
		{"a schedule that is none", hostile, nil, Good, time.Time{}},
		{"a date that does not exist", never, nil, Good, time.Time{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := NewSnapshot(Look{Records: []*record.Record{c.record}, Active: c.active}, now).set("a")
			if got.state != c.state || !got.since.Equal(c.since) {
				t.Errorf("the set is %s since %s, want %s since %s", got.state, got.since, c.state, c.since)
			}
		})
	}
}

func TestStateOfADestination(t *testing.T) {
	for _, c := range []struct {
		name string
		d    record.Destination
		want State
	}{
		{"good", record.Destination{LastGood: now}, Good},
		{"failing", record.Destination{LastGood: now, FailingSince: now}, Failing},
		{"no result yet", record.Destination{}, Waiting},
		{"held", record.Destination{LastGood: now, Hold: &record.Hold{}}, Held},
		{"held, and moved all the same", record.Destination{LastGood: now, FailingSince: now, Hold: &record.Hold{}}, Failing},
		{"gone while it was held", record.Destination{LastGood: now, Gone: now, Hold: &record.Hold{}}, Gone},
		{"gone while it failed", record.Destination{FailingSince: now, Gone: now}, Gone},
	} {
		if got := stateOf(&c.d); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestActiveRunsShowSetsWithoutRecord(t *testing.T) {
	s := NewSnapshot(Look{Active: []Active{{"new", "new-1", now}}}, now)
	if got := s.set("new"); got == nil || got.state != Waiting || len(got.active) != 1 {
		t.Errorf("the set is %+v", got)
	}
}

func TestCausesOfAllSetsAreMerged(t *testing.T) {
	a, b := fail(goodSet("a", 9, 3, 1), expired, 3, 2*time.Hour), fail(goodSet("b", 9, 3, 1), expired, 4, 9*time.Hour)
	b.Causes[0].Last, b.Causes[0].Message = now, "the newest message"
	fail(b, missing, 5, time.Hour)
	b.Owners = []string{"ada", "bob"}
	s := NewSnapshot(Look{Records: []*record.Record{b, a}}, now)
	want := CauseDetail{
		Key: expired.Key, ID: link.ID(expired.Key), Kind: "credentials", Side: "destination", Host: "quay.io",
		Title: "quay.io does not accept the credentials", Message: "the newest message",
		Advice: expired.Advice, Count: 7, First: ago(9 * time.Hour), Last: now, Sets: []string{"a", "b"}, Owners: []string{"ada", "bob", "grace-of-a"},
	}
	if diff := cmp.Diff(want, s.causes[0].detail()); len(s.causes) != 2 || diff != "" {
		t.Errorf("%d causes; the first (-want +got):\n%s", len(s.causes), diff)
	}
	if got := len(s.causes[0].failures()); got != 7 {
		t.Errorf("the cause hits %d destinations, want 7", got)
	}
}

func TestDistance(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "just now", -59 * time.Second: "just now", -time.Minute: "1 min ago", -61 * time.Minute: "1 h ago",
		-47 * time.Hour: "47 h ago", -72 * time.Hour: "3 days ago", -800 * 24 * time.Hour: "2 years ago",
		30 * time.Second: "in 30 s", 5 * time.Hour: "in 5 h",
	} {
		if got := distance(d); got != want {
			t.Errorf("%s: got %q, want %q", d, got, want)
		}
	}
}

func TestNumber(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -999: "-999"} {
		if got := withCommas(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

func TestSparkline(t *testing.T) {
	r := fail(goodSet("a", 3, 5, 1), expired, 1, 119*time.Minute)
	got := sparkOf(r.Runs, 7)
	want := spark{
		Width: 35, Height: 22, Void: "M2 22v-1M7 22v-1", Good: "M12 22v-8M17 22v-11M22 22v-13", Failed: "M27 22v-22M32 22v-22",
		Label: "Last 5 runs: 2 not good",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := sparkOf(nil, 2).Label; got != "No runs yet" {
		t.Errorf("without runs it says %q", got)
	}
}
