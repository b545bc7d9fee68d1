package notify

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/link"
	"imagemirror/internal/record"
	"imagemirror/internal/settings"
)

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// failing returns a record of a set in which destinations fail for the causes.
func failing(causes ...*record.Cause) *record.Record {
	r := &record.Record{Version: record.Version, Set: "web", Owners: []string{"ada", "bob"}, Causes: causes, Runs: []*record.Run{{ID: "mirror-web-x2k"}},
		Notify: []string{"@web-release"}, Targets: []settings.Target{{Kind: settings.Slack, Name: "slack"}, {Kind: settings.Email, Name: "mail"}}}
	for i := range 5 {
		r.Destinations = append(r.Destinations, &record.Destination{Name: fmt.Sprintf("quay.io/web/good:%d", i)})
	}
	for _, c := range causes {
		for i := range c.Count {
			r.Destinations = append(r.Destinations, &record.Destination{
				Name: fmt.Sprintf("%s/web/%s:%d", c.Host, c.Kind, i), File: "image-sets/web/mapping_web", Line: i + 1, Cause: c.Key,
			})
		}
	}
	return r
}

func refused() *record.Cause {
	return &record.Cause{
		Key: "destination/quay.io/credentials", Kind: "credentials", Side: "destination", Host: "quay.io", Count: 12, First: noon, Last: noon,
		Message: "destination: HTTP 401 Unauthorized: invalid username or password", Advice: "renew the push secret of the set: push-web",
	}
}

func gone() *record.Cause {
	return &record.Cause{Key: "source/ci.example.com/missing", Kind: "missing", Side: "source", Host: "ci.example.com", Count: 2, First: noon, Last: noon,
		Message: "source: HTTP 404: manifest unknown", Advice: "check the tag in the mapping file"}
}

// whole returns the cause of a whole run.
func whole(kind string) *record.Cause {
	return &record.Cause{Key: "-/-/" + kind, Kind: kind, First: noon, Last: noon, Message: "it was so", Advice: "do so"}
}

func with(c *record.Cause, change func(*record.Cause)) *record.Cause {
	change(c)
	return c
}

func told(at time.Time) func(*record.Cause) { return func(c *record.Cause) { c.Told = at } }

func summary(due []*Message) []string {
	var all []string
	for _, m := range due {
		all = append(all, fmt.Sprintf("%s %s to %s", m.Event, m.causes[0].Kind, strings.Join(m.to, ",")))
	}
	return all
}

func TestDue(t *testing.T) {
	for _, c := range []struct {
		name      string
		causes    []*record.Cause
		recovered []*record.Cause
		after     time.Duration
		want      []string
	}{
		{name: "a set that is well"},
		{name: "a set begins to fail", causes: []*record.Cause{refused()}, want: []string{"failing credentials to slack,mail"}},
		{name: "for two causes at once", causes: []*record.Cause{gone(), refused()}, want: []string{"failing credentials to slack,mail", "failing missing to slack,mail"}},
		{name: "for another cause", causes: []*record.Cause{gone(), with(refused(), told(noon))}, want: []string{"cause missing to slack,mail"}},
		{name: "nothing was mirrored, and much was not before", causes: []*record.Cause{refused(), whole("no-plan")}, want: []string{"failing no-plan to slack,mail", "failing credentials to slack,mail"}},
		{name: "it goes on", causes: []*record.Cause{with(refused(), told(noon))}, after: 23 * time.Hour},
		{name: "a daily run ends earlier", causes: []*record.Cause{with(refused(), told(noon))}, after: 24*time.Hour - 29*time.Minute, want: []string{"reminder credentials to slack,mail"}},
		{name: "a run is half an hour early", causes: []*record.Cause{with(refused(), told(noon))}, after: 24*time.Hour - 31*time.Minute},
		{name: "for a day", causes: []*record.Cause{with(refused(), told(noon))}, after: 24 * time.Hour, want: []string{"reminder credentials to slack,mail"}},
		{name: "a clock was a month ahead", causes: []*record.Cause{with(refused(), told(noon.AddDate(0, 1, 0)))}, want: []string{"reminder credentials to slack,mail"}},
		{name: "a clock is a minute ahead", causes: []*record.Cause{with(refused(), told(noon.Add(time.Minute)))}},
		{name: "one target did not get it", causes: []*record.Cause{with(refused(), func(c *record.Cause) { c.Told, c.Owed = noon, []string{"mail"} })}, after: time.Hour,
			want: []string{"reminder credentials to mail"}},
		{name: "a target that is gone", causes: []*record.Cause{with(refused(), func(c *record.Cause) { c.Told, c.Owed = noon, []string{"pager"} })}, after: time.Hour},
		{name: "it is over", recovered: []*record.Cause{with(refused(), told(noon))}, want: []string{"recovered credentials to slack,mail"}},
		{name: "one of two is over", causes: []*record.Cause{with(gone(), told(noon))}, recovered: []*record.Cause{with(refused(), told(noon))},
			want: []string{"recovered credentials to slack,mail"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := failing(c.causes...)
			r.Recovered = c.recovered
			if diff := cmp.Diff(c.want, summary(Due(r, noon.Add(c.after), ""))); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
		})
	}
	without := failing(refused())
	without.Targets = nil
	if due := Due(without, noon, ""); len(due) > 0 {
		t.Errorf("a set without targets has the messages %v", summary(due))
	}
}

// A link leads to a page, served or a file, and nowhere else.
func TestLinksLeadToPages(t *testing.T) {
	for _, c := range []struct{ status, set, want string }{
		{"https://mirror.example.com/", "web", "https://mirror.example.com/sets/web"},
		{"https://mirror.example.com/x", "Web", "https://mirror.example.com/x/sets/" + link.ID("Web")},
		{"http://mirror.example.com", "a b", "http://mirror.example.com/sets/" + link.ID("a b")},
		{"mirror.example.com", "web", ""},
		{"javascript:alert(1)//x", "web", ""},
	} {
		s := Env{NotifyDir: "x", StatusURL: c.status}.NewSender()
		r := failing(refused())
		r.Set = c.set
		got := ""
		for _, l := range Due(r, noon, s.status)[0].Links {
			got = l.URL
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.status, got, c.want)
		}
	}
}

// next returns the record after a run that found the causes.
func next(r *record.Record, causes ...*record.Cause) *record.Record {
	n := failing(causes...)
	n.KeepTold(r)
	return n
}

// A set fails, goes on failing and is well again: each target hears once of each change, and
// nobody a second time, although reports are ended at any moment and a target is down at times.
func TestEachChangeIsToldOnce(t *testing.T) {
	var r *record.Record
	sent := func(at time.Time, down ...string) []string {
		due := Due(r, at, "")
		r = begin(r, due, at)
		var outcomes []SendResult
		for _, m := range due {
			o := SendResult{Message: m}
			for _, name := range m.to {
				if strings.Contains(strings.Join(down, ","), name) {
					o.Failed, o.Errs = append(o.Failed, name), append(o.Errs, fmt.Errorf("%s is down", name))
				}
			}
			outcomes = append(outcomes, o)
		}
		r = noteDeliveries(r, outcomes, at)
		return summary(due)
	}
	check := func(step string, got []string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step, diff)
		}
	}
	hour := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Hour) }
	r = failing(refused())
	check("all targets are down", sent(hour(0), "slack", "mail"), "failing credentials to slack,mail")
	r = next(r, refused())
	check("one is down", sent(hour(1), "mail"), "failing credentials to slack,mail")
	r = next(r, refused())
	check("none is down", sent(hour(2)), "reminder credentials to mail")
	r = next(r, refused())
	check("the second failing run", sent(hour(3)))
	r = next(r, refused())
	check("a day later", sent(hour(26)), "reminder credentials to slack,mail")
	r = next(r, refused())
	check("right after", sent(hour(27)))
	r = next(r)
	r = begin(r, Due(r, hour(28), ""), hour(28)) // and the report is ended
	r = next(r)
	check("it is over", sent(hour(29)), "recovered credentials to slack,mail")
	r = next(r)
	check("still", sent(hour(30)))
	want := record.Notifications{Delivered: 6, Failed: 3, LastFail: hour(1)}
	if diff := cmp.Diff(want, r.Notifications); diff != "" || len(r.Causes)+len(r.Recovered) > 0 {
		t.Errorf("the record has %d causes, %d that are over, and counts (-want +got):\n%s", len(r.Causes), len(r.Recovered), diff)
	}
}

// A report that is always ended while it sends may have sent: it does not send with each run.
func TestBrokenReportsEnd(t *testing.T) {
	for _, recovered := range []bool{false, true} {
		r := failing(refused())
		if recovered {
			r = failing()
			r.Recovered = []*record.Cause{with(refused(), told(noon))}
		}
		begun := 0
		for i := range 10 {
			due := Due(r, noon.Add(time.Duration(i)*time.Minute), "")
			if len(due) > 0 {
				begun++
			}
			r = begin(r, due, noon)
			r = next(r, r.Causes...)
		}
		if begun != maxBroken {
			t.Errorf("recovered %v: %d reports sent, want %d", recovered, begun, maxBroken)
		}
	}
}

// A hundred causes are ten messages, and all of them count as told.
func TestManyCausesAreFewMessages(t *testing.T) {
	var causes []*record.Cause
	for i := range 100 {
		causes = append(causes, &record.Cause{Key: fmt.Sprintf("k%03d", i), Kind: "rejected", Host: fmt.Sprintf("h%03d", i), Count: 1, First: noon, Message: "no"})
	}
	r := failing(causes...)
	due := Due(r, noon, "")
	last := due[len(due)-1]
	if len(due) != maxMessages || len(last.More) != maxMore+1 || last.More[maxMore] != "and 70 more" {
		t.Errorf("%d messages, the last with %q", len(due), last.More)
	}
	var outcomes []SendResult
	for _, m := range due {
		outcomes = append(outcomes, SendResult{Message: m})
	}
	if again := Due(noteDeliveries(r, outcomes, noon), noon.Add(time.Hour), ""); len(again) > 0 {
		t.Errorf("%d messages an hour later", len(again))
	}
}

func TestOneDestinationIsSingular(t *testing.T) {
	for _, c := range []struct {
		m    Message
		want string
	}{
		{Message{Event: Failing, Set: "web", Count: 1, Destinations: 7}, "What     1 of 7 destinations of web is not mirrored\n"},
		{Message{Event: Failing, Set: "web", Count: 2, Destinations: 7, Others: 1}, "What     2 of 7 destinations of web are not mirrored; it fails for 1 other cause, too\n"},
		{Message{Event: Recovered, Set: "web", Destinations: 1}, "What     the destination of web is well\n"},
		{Message{Event: Recovered, Set: "web", Destinations: 2}, "What     all 2 destinations of web are well\n"},
	} {
		if got := c.m.Text(); !strings.Contains(got, c.want) {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestText(t *testing.T) {
	over := with(refused(), func(c *record.Cause) { c.Told, c.Last = noon, noon.Add(51*time.Hour) })
	still := with(gone(), told(noon.Add(-25*time.Hour)))
	for _, c := range []struct {
		name string
		r    *record.Record
		want string
	}{
		{"failing", failing(refused()), `web: fails: quay.io does not accept the credentials

What     12 of 17 destinations of web are not mirrored
Since    2026-11-29 12:00 UTC (25m)
Why      destination: HTTP 401 Unauthorized: invalid username or password
Do       renew the push secret of the set: push-web
Such as  quay.io/web/credentials:0 (image-sets/web/mapping_web:1)
Such as  quay.io/web/credentials:1 (image-sets/web/mapping_web:2)
Such as  quay.io/web/credentials:2 (image-sets/web/mapping_web:3)
Owners   ada, bob
Tell     @web-release
Run      mirror-web-x2k

status of web: https://mirror.example.com/sets/web
`},
		{"reminder", failing(still), `web: still failing after 25m: ci.example.com does not have what mappings name

What     2 of 7 destinations of web are not mirrored
Since    2026-11-29 12:00 UTC (25m)
Why      source: HTTP 404: manifest unknown
Do       check the tag in the mapping file
Such as  ci.example.com/web/missing:0 (image-sets/web/mapping_web:1)
Such as  ci.example.com/web/missing:1 (image-sets/web/mapping_web:2)
Owners   ada, bob
Tell     @web-release
Run      mirror-web-x2k

status of web: https://mirror.example.com/sets/web
`},
		{"recovered", func() *record.Record { r := failing(); r.Recovered = []*record.Cause{over}; return r }(), `web: over after 2d 3h: quay.io does not accept the credentials

What     all 5 destinations of web are well
From     2026-11-29 12:00 UTC to 2026-12-01 15:00 UTC
Owners   ada, bob
Tell     @web-release
Run      mirror-web-x2k

status of web: https://mirror.example.com/sets/web
`},
		{"nothing was mirrored", failing(&record.Cause{Key: "-/-/no-plan", Kind: "no-plan", First: noon, Last: noon, Message: "split: image-sets/web/mapping_web:3: no destination", Advice: "correct it"}),
			`web: fails: nothing was mirrored: there is no plan

What     nothing of web was mirrored
Since    2026-11-29 12:00 UTC (25m)
Why      split: image-sets/web/mapping_web:3: no destination
Do       correct it
Owners   ada, bob
Tell     @web-release
Run      mirror-web-x2k

status of web: https://mirror.example.com/sets/web
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			due := Due(c.r, noon.Add(25*time.Minute), "https://mirror.example.com/")
			if len(due) != 1 {
				t.Fatalf("%d messages", len(due))
			}
			if diff := cmp.Diff(c.want, due[0].Text()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A run that is not good as a whole need not have mirrored nothing.
func TestWholeRuns(t *testing.T) {
	for kind, want := range map[string]string{
		"no-plan":      "nothing of web was mirrored",
		"unfinished":   "the last run of web was not good",
		"disagreement": "the last run of web was not good; it fails for 1 other cause, too",
	} {
		r := failing(whole(kind))
		if kind == "disagreement" {
			r.Causes = append(r.Causes, refused())
		}
		if got := Due(r, noon, "")[0].failure(); got != want {
			t.Errorf("%s: got %q, want %q", kind, got, want)
		}
	}
}
