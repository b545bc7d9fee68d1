package settings

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"imagemirror/internal/reference"
	"imagemirror/internal/window"
)

// head has the first four lines of every file.
const head = "apiVersion: imagemirror/v1\nkind: Settings\nmetadata:\n  name: knative\n"

func TestParse(t *testing.T) {
	prague, err := window.Parse("22:00-06:00 Europe/Prague")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, text string
		want       Settings
	}{
		{"everything", head + `  annotations:
    config.kubernetes.io/local-config: "true"
spec:
  schedule: "7 * * * *"
  sources: [registry.ci.openshift.org]
  destinations: [quay.io/openshift-knative]
  immutable: ["v*"]
  shards: 8
  cap: 64
  rate: 50
  retries: 10
  timeout: 5h
  notify: ["@knative-release", slack: releases, {email: on-call}]
  remind: 12h
  stale: 48h
  history: {runs: 10, failed: 3, age: 168h}
`, Settings{
			Name: "knative", NameLine: 4, LocalConfig: true, Schedule: "7 * * * *", Immutable: []string{"v*"},
			Sources: Prefixes{{"registry.ci.openshift.org", 9}}, Destinations: Prefixes{{"quay.io/openshift-knative", 10}},
			Shards: 8, Cap: 64, Rate: 50, Retries: 10, Timeout: 5 * time.Hour, Notify: []string{"@knative-release"},
			Targets: []Target{{Slack, "releases"}, {Email, "on-call"}}, Remind: 12 * time.Hour, Stale: 48 * time.Hour,
			History: History{Runs: 10, Failed: 3, Age: 168 * time.Hour},
		}},
		{"nothing", head, Settings{Name: "knative", NameLine: 4}},
		{"keys without a value", head + "spec:\n  history:\n  immutable:\n", Settings{Name: "knative", NameLine: 4}},
		{"JSON", `{"kind":"Settings","apiVersion":"imagemirror/v1","metadata":{"name":"a"},"spec":{"schedule":"@hourly"}}`,
			Settings{Name: "a", NameLine: 1, Schedule: "@hourly"}},
		{"prefixes of each kind", head + "spec:\n  destinations: [QUAY.io, docker.io/org, org, localhost:5000/a/b, index.docker.io]\n",
			Settings{Name: "knative", NameLine: 4, Destinations: Prefixes{{"quay.io", 6}, {"docker.io/org", 6}, {"docker.io/org", 6}, {"localhost:5000/a/b", 6}, {"docker.io", 6}}}},
		{"a window's hours", head + "spec:\n  window: 22:00-06:00 Europe/Prague\n  bandwidth: 52428800\n",
			Settings{Name: "knative", NameLine: 4, Window: LargeWindow{Hours: prague}, Bandwidth: 50 << 20}},
		{"prefixes, a line each", head + "spec:\n  sources:\n    - quay.io\n    - ghcr.io/org\n",
			Settings{Name: "knative", NameLine: 4, Sources: Prefixes{{"quay.io", 7}, {"ghcr.io/org", 8}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, found := Parse("f", []byte(c.text))
			if err := found.Err(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.IgnoreFields(Settings{}, "Lines")); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	spec := func(line string) string { return head + "spec:\n  " + line + "\n" }
	for _, c := range []struct {
		name, text string
		want       []string // the beginnings of the lines, without the file
	}{
		{"an empty file", "", []string{"1: apiVersion is missing", "1: kind is missing", "1: metadata.name is missing"}},
		{"another object", strings.Replace(head, "Settings", "ConfigMap", 1), []string{`2: this is "ConfigMap": write Settings`}},
		{"another version", strings.Replace(head, "v1", "v2", 1), []string{`1: this is "imagemirror/v2": write imagemirror/v1`}},
		{"an unknown key", spec("shard: 8"), []string{`6: unknown key "shard": write schedule, sources, destinations, immutable, `}},
		{"an unknown key of another level", head + "schedule: x\n", []string{`5: unknown key "schedule": write apiVersion, kind, metadata or spec`}},
		{"a key twice", spec("cap: 8\n  cap: 9"), []string{"7: the key cap is there twice"}},
		{"all mistakes", spec("cap: many\n  shards: 257\n  retries: 0\n  timeout: 5\n  history: {runs: -1}"), []string{
			`6: spec.cap is "many": write a number from 4 to 1000`, `7: spec.shards is "257": write a number from 1 to 256`,
			`8: spec.retries is "0"`, `9: spec.timeout is "5": write a time from 30m to 168h`, `10: spec.history.runs is "-1"`}},
		{"no name of a set", strings.Replace(head, "knative", "Knative_1", 1), []string{`4: metadata.name is "Knative_1": a set's name has`}},
		{"a name that is too long", strings.Replace(head, "knative", strings.Repeat("a", 46), 1), []string{`4: metadata.name is "aaaa`}},
		{"a number for a name", strings.Replace(head, "knative", "7", 1), []string{`4: metadata.name is "7", which YAML does not read as a string`}},
		{"four fields", spec(`schedule: "7 * * *"`), []string{`6: schedule "7 * * *" is not a cron expression: write five fields`}},
		{"minute 61", spec(`schedule: "61 * * * *"`), []string{`6: schedule "61 * * * *" is not a cron expression`}},
		{"30 February", spec(`schedule: "0 0 30 2 *"`), []string{`6: schedule "0 0 30 2 *" is for a date that does not exist`}},
		{"a time zone", spec(`schedule: "TZ=Europe/Prague 7 * * * *"`), []string{`6: schedule "TZ=Europe/Prague 7 * * * *" is not a cron expression`}},
		{"what cron's parser stumbles over", spec(`schedule: "TZ=0"`), []string{`6: schedule "TZ=0" is not a cron expression`}},
		{"prefixes that are none", spec("destinations: [quay.io/org/, quay.io/org:v1, \"quay.io/*\", quay.io/Org, \"https://quay.io\"]"), []string{
			`6: destination "quay.io/org/" is not a prefix`, `6: destination "quay.io/org:v1"`, `6: destination "quay.io/*"`, `6: destination "quay.io/Org"`, `6: destination "https://quay.io"`}},
		{"ports that are none", spec("destinations: [\"quay.io:99999\", \"quay.io:0/org\", \"quay.io:/org\", \"localhost:05000\"]"), []string{
			`6: destination "quay.io:99999" has an invalid port: write a number from 1 to 65535`, `6: destination "quay.io:0/org" has an invalid port`,
			`6: destination "quay.io:/org" has an invalid port`, `6: destination "localhost:05000" has an invalid port`}},
		{"no prefix", spec("destinations: []"), []string{"6: spec.destinations allows nothing: name a prefix, or leave the key out"}},
		{"sources that are none", spec("sources: [\"quay.io/*\", 7]"), []string{`6: source "quay.io/*" is not a prefix`, `6: an entry of spec.sources is "7", which YAML`}},
		{"no source", spec("sources: []"), []string{"6: spec.sources allows nothing"}},
		{"a rate of nothing", spec("rate: 0"), []string{`6: spec.rate is "0": write a number from 1 to 10000`}},
		{"no prefix is written", spec("destinations:"), []string{"6: spec.destinations allows nothing"}},
		{"patterns that are none", spec(`immutable: ["v1@x", "a b", "-v*", 1.0]`), []string{
			`6: immutable "v1@x" is not a tag`, `6: immutable "a b"`, `6: immutable "-v*"`, `6: an entry of spec.immutable is "1.0", which YAML does not`}},
		{"one who cannot be shown", spec(`notify: ["\e[1m"]`), []string{`6: an entry of spec.notify is "\x1b[1m", which has characters`}},
		{"an unknown kind of target", spec("notify: [{pager: x}]"), []string{`6: unknown key "pager": write slack, webhook or email`}},
		{"targets that have no name", spec("notify: [{slack: '#releases'}, {webhook: ../x}, {email: }, slack: 7]"), []string{
			`6: slack "#releases" is not the name of a target`, `6: webhook "../x" is not the name`, `6: an entry of spec.notify.email has no value`, `6: an entry of spec.notify.slack is "7", which YAML`}},
		{"two targets of a name", spec("notify:\n    - slack: x\n    - webhook: x"), []string{`8: notify has two targets x, whose secrets`}},
		{"too many targets", spec("notify: [slack: a0, slack: a1, slack: a2, slack: a3, slack: a4, slack: a5, slack: a6, slack: a7, slack: a8, slack: a9, slack: b]"),
			[]string{"6: notify has more than 10 targets"}},
		{"reminders each minute", spec("remind: 1m\n  stale: 1m"), []string{`6: spec.remind is "1m": write a time from 1h to 744h`, `7: spec.stale is "1m": write a time from 1h to 8784h`}},
		{"too many to tell", spec("notify: [" + strings.Repeat("a,", 1001) + "]"), []string{"6: spec.notify has more than 1000 entries"}},
		{"one text for a list", spec("notify: ada"), []string{"6: spec.notify is not a list"}},
		{"a list for a text", spec("schedule: [a]"), []string{"6: spec.schedule is not a single value"}},
		{"a list for a mapping", spec("- a"), []string{"6: spec is not a mapping"}},
		{"windows that are none", spec("window: nightly"), []string{`6: window: "nightly" is not a part of the day: write HH:MM-HH:MM`}},
		{"a window without hours", spec("window: {above: 2Gi}"), []string{"6: window.hours is missing"}},
		{"a window of another world", spec("window: {hours: '22:00-06:00 Mars', above: many}"), []string{
			`6: window: "Mars" is not a time zone`, `6: "many" is not a number of bytes: write one such as 500Mi`}},
		{"a window of no hours", spec("window: {hours: }"), []string{"6: spec.window.hours has no value"}},
		{"a window of wrong hours", spec("window: {hours: 22-6}"), []string{`6: window: "22-6" is not a part of the day`}},
		{"nothing in reserve", spec("reserve: 0\n  recheck: 1s\n  bandwidth: -5Mi"), []string{
			`6: spec.reserve is "0": write a number from 1`, `7: spec.recheck is "1s": write a time from 1m`, `8: "-5Mi" is not a number of bytes`}},
		{"no YAML", "a: b: c\n", []string{"1: the file is not YAML"}},
		{"two documents", head + "---\n" + head, []string{"5: a second document begins here"}},
		{"a large file", "#" + strings.Repeat(" ", MaxFile), []string{"1: the file has more than 64 KiB"}},
		{"a binary file", "\xff\xfe", []string{"1: the file is not UTF-8 text"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, found := Parse("f", []byte(c.text))
			got := strings.Split(fmt.Sprint(found.Err()), "\n")
			if len(got) != len(c.want) {
				t.Fatalf("got %q, want %q", got, c.want)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], "f:"+c.want[i]) {
					t.Errorf("got %q, want it to begin with f:%s", got[i], c.want[i])
				}
			}
		})
	}
}

func TestAllows(t *testing.T) {
	for _, c := range []struct {
		destination string
		want        bool
	}{
		{"quay.io/org/image:v1", true},
		{"quay.io/org/deep/image:v1", true},
		{"quay.io/org:v1", true},
		{"quay.io/organisation/image:v1", false},
		{"quay.io/other/org/image:v1", false},
		{"quay.io.example/org/image:v1", false},
		{"team/image:v1", true},
		{"docker.io/team/image:v1", true},
		{"team2/image:v1", false},
	} {
		s, found := Parse("f", []byte(head+"spec: {destinations: [quay.io/org, team]}\n"))
		if err := found.Err(); err != nil {
			t.Fatal(err)
		}
		r, err := reference.Parse(c.destination)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Destinations.Allow(r.Name()); got != c.want {
			t.Errorf("%s: got %v, want %v", c.destination, got, c.want)
		}
		if !s.Sources.Allow(r.Name()) {
			t.Errorf("%s is not allowed where nothing is set", c.destination)
		}
	}
}

func TestShortestGap(t *testing.T) {
	for schedule, want := range map[string]time.Duration{
		"* * * * *":          time.Minute,
		"7 * * * *":          time.Hour,
		"@daily":             24 * time.Hour,
		"*/25 * * * *":       10 * time.Minute, // 50 and 0
		"0,1 3 1 1 *":        time.Minute,
		"59,0 0,23 * * *":    time.Minute,      // midnight
		"59,0 0,23 * * 1":    59 * time.Minute, // no two days in a row
		"0 0 1,31 * *":       24 * time.Hour,
		"0 12 * * 1,3":       48 * time.Hour,
		"0 0 29 2 *":         4*365*24*time.Hour + 24*time.Hour,
		"30 5-6,9 1-7 * 1-2": time.Hour,
	} {
		if got := ShortestGap(schedule); got != want {
			t.Errorf("%q: got %s, want %s", schedule, got, want)
		}
	}
}

func TestKeeps(t *testing.T) {
	s := Settings{Immutable: []string{"v*", "latest-*-ga", "one"}}
	for tag, want := range map[string]bool{"v1": true, "v": true, "xv1": false, "latest-4.1-ga": true, "latest": false, "one": true, "one2": false} {
		if got := s.Keeps(tag); got != want {
			t.Errorf("%q: got %v, want %v", tag, got, want)
		}
	}
	if (Settings{Immutable: []string{"*"}}).Keeps("") {
		t.Error("an image without a tag has one that is kept")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(head + "spec: {schedule: '7 * * * *', destinations: [quay.io/a], immutable: [v*], timeout: 1h, history: {age: 1h}}\n"))
	f.Add([]byte("a: &a [*a]\n? [x]\n: y\n<<: *a\n"))
	f.Add([]byte("spec: {schedule: 'TZ=0'}\n---\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, found := Parse("f", data)
		err := found.Err()
		if err == nil {
			if CheckName(s.Name) != nil || s.Schedule != "" && CheckSchedule(s.Schedule) != nil {
				t.Errorf("accepted the name %q and the schedule %q", s.Name, s.Schedule)
			}
			return
		}
		for line := range strings.SplitSeq(err.Error(), "\n") {
			if !strings.HasPrefix(line, "f:") || len(line) > 2000 {
				t.Errorf("no line of an error: %q", line)
			}
		}
	})
}
