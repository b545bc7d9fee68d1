package record

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/fault"
	"imagemirror/internal/report"
	"imagemirror/internal/settings"
	"imagemirror/internal/stream"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func sha(c string) string { return "sha256:" + strings.Repeat(c, 64) }

// A line is one result, in short: the tag, the status, the digest and that before.
type line struct{ tag, status, digest, old string }

// run returns the update of a run that ended an hour times n after noon.
func run(n int, lines ...line) Update {
	end := noon.Add(time.Duration(n) * time.Hour)
	b := report.NewBuilder()
	b.MarkExecuted()
	c := &stream.Content{
		Header: stream.Header{Stream: stream.Results, Run: "r", Mappings: len(lines)}, End: &stream.End{Ended: end},
		Sets: []stream.Set{{Name: "tekton", Owners: []string{"alice"}}},
	}
	for i, l := range lines {
		c.Mappings = append(c.Mappings, stream.Mapping{
			ID: i, Source: "ci.example.com/a:" + l.tag, Destination: "quay.io/org/a:" + l.tag, Set: "tekton", File: "image-sets/tekton/mapping_a", Line: i + 1,
		})
		one := stream.Result{ID: i, Status: l.status}
		if l.digest != "" {
			one.Digest = sha(l.digest)
		}
		if l.old != "" {
			one.Old = sha(l.old)
		}
		if l.status == stream.Failed {
			one.Error = &stream.Error{Side: "destination", Host: "quay.io", Kind: fault.Denied, Status: 403, Message: "HTTP 403: denied"}
		}
		c.Results = append(c.Results, one)
	}
	if err := b.Add(c); err != nil {
		panic(err)
	}
	r := b.Report()
	if len(lines) > 0 {
		r = r.BySet()["tekton"]
	}
	r.Run = report.Run{ID: fmt.Sprintf("run-%d", n), Trigger: "cron", Start: end.Add(-time.Minute), End: end}
	return Update{Report: r, Whole: true, Now: end.Add(time.Second)}
}

// The record has what the settings of the last run say; a run without a plan, or one that is
// recorded late, changes nothing of it.
func TestSettingsAreRecorded(t *testing.T) {
	with := func(u Update, s report.Set) Update {
		u.Report.Sets = []*report.Set{&s}
		return u
	}
	first := report.Set{
		Name: "tekton", Notify: []string{"@tekton"}, Targets: []settings.Target{{Kind: settings.Slack, Name: "releases"}},
		Schedule: "7 * * * *", Remind: time.Hour, Stale: 48 * time.Hour,
	}
	broken := run(1)
	of := broken.Report.Run
	broken.Report = report.NoPlan("split: no")
	broken.Report.Run = of
	r := New("tekton").Apply(with(run(0, line{"v1", stream.Copied, "a", ""}), first)).Apply(broken)
	want := &Record{Schedule: "7 * * * *", StaleSeconds: 172800, RemindSeconds: 3600, Notify: first.Notify, Targets: first.Targets}
	compare := func(when string) {
		t.Helper()
		got := &Record{Schedule: r.Schedule, StaleSeconds: r.StaleSeconds, RemindSeconds: r.RemindSeconds, Notify: r.Notify, Targets: r.Targets}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	compare("after a run without a plan")
	late := with(run(-1, line{"v1", stream.Copied, "b", ""}), report.Set{Name: "tekton", Schedule: "8 * * * *"})
	late.Now = noon.Add(90 * time.Minute)
	r = r.Apply(late)
	compare("after an older run")
	r = r.Apply(with(run(2, line{"v1", stream.Current, "a", ""}), report.Set{Name: "tekton", Schedule: "9 * * * *"}))
	want = &Record{Schedule: "9 * * * *"}
	compare("after other settings")
}

// What strangers get is known of a digest for as long as the tag has it. An image that they do not
// get is published all the same: its digest is recorded.
func TestPublicIsRecorded(t *testing.T) {
	type step struct {
		result line
		answer string // "" if nobody asked
		digest string
		public int // the hour of the run that is recorded, or -1
	}
	r := New("tekton")
	for n, s := range []step{
		{line{"v1", stream.Copied, "a", ""}, stream.Unknown, "a", -1},
		{line{"v1", stream.Current, "a", "a"}, stream.Yes, "a", 1},
		{line{"v1", stream.Current, "a", "a"}, "", "a", 1},
		{line{"v1", stream.Current, "a", "a"}, stream.Unknown, "a", 1},
		{line{"v1", stream.Failed, "b", "a"}, "", "a", 1},
		{line{"v1", stream.Failed, "b", "a"}, stream.No, "b", -1},
		{line{"v1", stream.Failed, "b", "b"}, stream.No, "b", -1},
		{line{"v1", stream.Current, "b", "b"}, stream.Yes, "b", 7},
		{line{"v1", stream.Failed, "b", "b"}, stream.No, "b", -1},
		{line{"v1", stream.Current, "b", "b"}, stream.Yes, "b", 9},
		{line{"v1", stream.Copied, "c", "b"}, "", "c", -1},
		{line{"v1", stream.Copied, "d", "c"}, stream.Yes, "d", 11},
		{line{"v1", stream.Failed, "e", "f"}, "", "f", -1},
		{line{"v1", stream.Held, "e", "f"}, stream.Yes, "f", 13},
		{line{"v1", stream.Held, "e", "f"}, stream.Unknown, "f", 13},
	} {
		u := run(n, s.result)
		one := u.Report.Results[0]
		if s.answer != "" {
			one.Public = &report.Public{Answer: s.answer}
		}
		if s.answer == stream.No {
			one.Kind = fault.Private
		}
		r = r.Apply(u)
		d := r.Destinations[0]
		want := time.Time{}
		if s.public >= 0 {
			want = noon.Add(time.Duration(s.public) * time.Hour)
		}
		if d.Digest != sha(s.digest) || !d.Public.Equal(want) || (s.result.status == stream.Failed) == d.FailingSince.IsZero() {
			t.Errorf("after run %d: the digest %s, public %s, failing since %s", n, d.Digest, d.Public, d.FailingSince)
		}
	}
}

// What came with an image stays with it, until the tag moves.
func TestReferrersAreRecorded(t *testing.T) {
	with := func(n int, l line, kind string, digests ...string) Update {
		u := run(n, l)
		for _, d := range digests {
			u.Report.Results[0].Travelled = []report.Travelled{{Kind: kind, Copied: len(digests), Digests: []string{sha(d)}}}
		}
		return u
	}
	r := New("tekton")
	for n, s := range []struct {
		update Update
		want   []report.ReferrerCount
	}{
		{with(0, line{"v1", stream.Copied, "a", ""}, "signature", "1"), []report.ReferrerCount{{Kind: "signature", Count: 1, Digests: []string{sha("1")}}}},
		{with(1, line{"v1", stream.Current, "a", "a"}, ""), []report.ReferrerCount{{Kind: "signature", Count: 1, Digests: []string{sha("1")}}}},
		{with(2, line{"v1", stream.Current, "a", "a"}, "sbom", "2"), []report.ReferrerCount{{Kind: "sbom", Count: 1, Digests: []string{sha("2")}}, {Kind: "signature", Count: 1, Digests: []string{sha("1")}}}},
		{with(3, line{"v1", stream.Failed, "b", "a"}, ""), []report.ReferrerCount{{Kind: "sbom", Count: 1, Digests: []string{sha("2")}}, {Kind: "signature", Count: 1, Digests: []string{sha("1")}}}},
		{with(4, line{"v1", stream.Copied, "b", "a"}, ""), nil},
		{with(5, line{"v1", stream.Current, "b", "b"}, "sbom", "3"), []report.ReferrerCount{{Kind: "sbom", Count: 1, Digests: []string{sha("3")}}}},
		{with(6, line{"v1", stream.Failed, "b", "c"}, ""), nil},
	} {
		r = r.Apply(s.update)
		content, err := r.Encode()
		if err == nil {
			r, err = Decode(content)
		}
		if err != nil {
			t.Fatalf("after run %d: %v", n, err)
		}
		if diff := cmp.Diff(s.want, r.Destinations[0].Referrers); diff != "" {
			t.Errorf("after run %d (-want +got):\n%s", n, diff)
		}
	}
	// A record that would be too large loses them last.
	small, err := r.Apply(with(7, line{"v1", stream.Copied, "d", "c"}, "signature", "1")).encodeWithin(1 << 20)
	if err != nil || !strings.Contains(string(small), `"referrers"`) {
		t.Errorf("%v: %s", err, small)
	}
	if small, err = r.Apply(with(7, line{"v1", stream.Copied, "d", "c"}, "signature", "1")).encodeWithin(len(small) * 2 / 3); err == nil && strings.Contains(string(small), `"referrers"`) {
		t.Errorf("%v: %s", err, small)
	}
}

// brief returns what a test compares of a record: a line for each destination and cause.
func brief(r *Record) []string {
	short := func(d string) string { return d[min(len(d), 7):min(len(d), 8)] }
	hour := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return fmt.Sprint(t.Sub(noon).Round(time.Hour).Hours())
	}
	var all []string
	for _, d := range r.Destinations {
		s := fmt.Sprintf("%s %s since %s good %s", d.Name[strings.LastIndexByte(d.Name, ':')+1:], short(d.Digest), hour(d.Since), hour(d.LastGood))
		if !d.FailingSince.IsZero() {
			s += " failing " + hour(d.FailingSince)
		}
		if !d.Gone.IsZero() {
			s += " gone " + hour(d.Gone)
		}
		s += " moves "
		for _, m := range d.Moves {
			s += short(m.Digest)
		}
		all = append(all, s)
	}
	for _, c := range r.Causes {
		all = append(all, fmt.Sprintf("cause %s: %d, %s to %s", c.Kind, c.Count, hour(c.First), hour(c.Last)))
	}
	last := r.LastRun()
	return append(all, fmt.Sprintf("%d runs, the last %s %s", len(r.Runs), last.ID, last.Verdict))
}

func TestApply(t *testing.T) {
	good := func(n int) Update {
		return run(n, line{"v1", stream.Copied, "a", ""}, line{"v2", stream.Current, "b", "b"})
	}
	unplanned := func(u Update) Update {
		of := u.Report.Run
		u.Report = report.NoPlan("split: no secret")
		u.Report.Run = of
		return u
	}
	part := func(n int, lines ...line) Update { u := run(n, lines...); u.Whole = false; return u }
	elsewhere := func(u Update) Update {
		for _, m := range u.Report.Results {
			m.File = "mapping_b"
		}
		return u
	}
	late := func(u Update) Update { u.Now = noon.Add(1e6 * time.Second); return u }
	failed := func(n int) Update {
		return run(n, line{"v1", stream.Failed, "c", "a"}, line{"v2", stream.Current, "b", "b"})
	}
	for _, c := range []struct {
		name string
		runs []Update
		want []string
	}{
		{"first run", []Update{good(1)}, []string{"v1 a since 1 good 1 moves a", "v2 b since 1 good 1 moves b", "1 runs, the last run-1 good"}},
		{"the same run twice", []Update{good(1), good(1)}, []string{"v1 a since 1 good 1 moves a", "v2 b since 1 good 1 moves b", "1 runs, the last run-1 good"}},
		{"nothing new", []Update{good(1), good(2)}, []string{"v1 a since 1 good 2 moves a", "v2 b since 1 good 2 moves b", "2 runs, the last run-2 good"}},
		{"a move", []Update{good(1), run(2, line{"v1", stream.Copied, "c", "a"}, line{"v2", stream.Current, "b", ""})},
			[]string{"v1 c since 2 good 2 moves ac", "v2 b since 1 good 2 moves b", "2 runs, the last run-2 good"}},
		{"moved by somebody else, and back", []Update{good(1), run(2, line{"v1", stream.Copied, "a", "e"}, line{"v2", stream.Current, "b", ""})},
			[]string{"v1 a since 2 good 2 moves aea", "v2 b since 1 good 2 moves b", "2 runs, the last run-2 good"}},
		{"a failure", []Update{good(1), failed(2)}, []string{"v1 a since 1 good 1 failing 2 moves a", "v2 b since 1 good 2 moves b", "cause denied: 1, 2 to 2", "2 runs, the last run-2 failed"}},
		{"it goes on", []Update{good(1), failed(2), failed(3)}, []string{"v1 a since 1 good 1 failing 2 moves a", "v2 b since 1 good 3 moves b", "cause denied: 1, 2 to 3", "3 runs, the last run-3 failed"}},
		{"it ends", []Update{good(1), failed(2), good(3)}, []string{"v1 a since 1 good 3 moves a", "v2 b since 1 good 3 moves b", "3 runs, the last run-3 good"}},
		{"a run that was cut", []Update{good(1), run(2, line{"v1", stream.Failed, "", ""}, line{"v2", stream.Failed, "", ""})},
			[]string{"v1 a since 1 good 1 failing 2 moves a", "v2 b since 1 good 1 failing 2 moves b", "cause denied: 2, 2 to 2", "2 runs, the last run-2 failed"}},
		{"a mapping was removed", []Update{failed(1), run(2, line{"v2", stream.Current, "b", ""})}, []string{"v1 a since 1 good - gone 2 moves a", "v2 b since 1 good 2 moves b", "2 runs, the last run-2 good"}},
		{"and comes back", []Update{good(1), run(2, line{"v2", stream.Current, "b", ""}), good(3)}, []string{"v1 a since 1 good 3 moves a", "v2 b since 1 good 3 moves b", "3 runs, the last run-3 good"}},
		{"and is not forgotten, since a run pushed it", []Update{good(1), run(2, line{"v2", stream.Current, "b", ""}), run(2+31*24, line{"v2", stream.Current, "b", ""})},
			[]string{"v1 a since 1 good 1 gone 2 moves a", "v2 b since 1 good 746 moves b", "3 runs, the last run-746 good"}},
		{"and is forgotten, since none did", []Update{run(1, line{"v1", stream.Current, "a", "a"}, line{"v2", stream.Current, "b", "b"}), run(2, line{"v2", stream.Current, "b", ""}), run(2+31*24, line{"v2", stream.Current, "b", ""})},
			[]string{"v2 b since 1 good 746 moves b", "3 runs, the last run-746 good"}},
		{"a run of another file", []Update{failed(1), elsewhere(part(2, line{"v3", stream.Current, "d", ""}))},
			[]string{"v1 a since 1 good - failing 1 moves a", "v2 b since 1 good 1 moves b", "v3 d since 2 good 2 moves d", "cause denied: 1, 1 to 1", "2 runs, the last run-2 good"}},
		{"a run of the same file", []Update{good(1), part(2, line{"v1", stream.Current, "a", ""})}, []string{"v1 a since 1 good 2 moves a", "v2 b since 1 good 1 gone 2 moves b", "2 runs, the last run-2 good"}},
		{"a file that no run read for a week", []Update{good(1), elsewhere(part(200, line{"v3", stream.Current, "d", ""}))},
			[]string{"v1 a since 1 good 1 gone 200 moves a", "v2 b since 1 good 1 gone 200 moves b", "v3 d since 200 good 200 moves d", "2 runs, the last run-200 good"}},
		{"no plan", []Update{failed(1), unplanned(run(2))},
			[]string{"v1 a since 1 good - failing 1 moves a", "v2 b since 1 good 1 moves b", "cause no-plan: 0, 2 to 2", "cause denied: 1, 1 to 1", "2 runs, the last run-2 noPlan"}},
		{"a plan again", []Update{unplanned(run(1)), good(2)},
			[]string{"v1 a since 2 good 2 moves a", "v2 b since 2 good 2 moves b", "2 runs, the last run-2 good"}},
		{"unknown mappings", []Update{good(1), func() Update {
			u := run(2, line{"v1", stream.Current, "a", ""})
			u.Report.Summary.Unknown = 1
			u.Report = u.Report.BySet()["tekton"]
			return u
		}()}, []string{"v1 a since 1 good 2 moves a", "v2 b since 1 good 1 moves b", "cause unfinished: 0, 2 to 2", "2 runs, the last run-2 failed"}},
		{"out of order", []Update{good(3), late(failed(2))}, []string{"v1 a since 3 good 3 moves a", "v2 b since 3 good 3 moves b", "2 runs, the last run-3 good"}},
		{"out of order, another part", []Update{part(3, line{"v1", stream.Copied, "c", ""}), late(part(2, line{"v2", stream.Failed, "b", ""}))},
			[]string{"v1 c since 3 good 3 moves c", "v2  since - good - failing 2 moves ", "cause denied: 1, 2 to 2", "2 runs, the last run-3 good"}},
		{"a clock that was ahead", []Update{good(1000), func() Update { u := failed(2); return u }()},
			[]string{"v1 a since 2 good 2 failing 2 moves a", "v2 b since 2 good 2 moves b", "cause denied: 1, 2 to 2", "2 runs, the last run-2 failed"}},
		{"a clock that was ahead in a failing run", []Update{failed(1000), failed(2), failed(3)},
			[]string{"v1 a since 2 good - failing 2 moves a", "v2 b since 2 good 3 moves b", "cause denied: 1, 2 to 3", "3 runs, the last run-3 failed"}},
		{"a clock that was ahead when a mapping was removed", []Update{good(1), run(1000, line{"v2", stream.Current, "b", ""}), run(2, line{"v2", stream.Current, "b", ""})},
			[]string{"v1 a since 1 good 1 gone 2 moves a", "v2 b since 1 good 2 moves b", "3 runs, the last run-2 good"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := New("tekton")
			for _, u := range c.runs {
				r = applied(t, r, u)
			}
			if diff := cmp.Diff(c.want, brief(r)); diff != "" {
				t.Errorf("the record (-want +got):\n%s", diff)
			}
		})
	}
}

// applied applies an update, and checks what holds for each.
func applied(t testing.TB, r *Record, u Update) *Record {
	t.Helper()
	before := encoded(t, r)
	next := r.Apply(u)
	if encoded(t, r) != before {
		t.Error("the record before was changed")
	}
	if again := next.Apply(u); again != next {
		t.Error("applying a run twice changes the record")
	}
	decoded, err := Decode([]byte(encoded(t, next)))
	if err != nil {
		t.Fatalf("%v:\n%.2000s", err, encoded(t, next))
	}
	if diff := cmp.Diff(next, decoded); diff != "" {
		t.Fatalf("encoding changes the record:\n%s", diff)
	}
	return next
}

func encoded(t testing.TB, r *Record) string {
	t.Helper()
	content, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// A destination leads to its line, and a run to its page, as the policy says, if pages may lead
// there.
func TestAddressesOfLinesAreRecorded(t *testing.T) {
	r := New("tekton")
	for i, c := range []struct{ url, want string }{
		{"https://git.example/blob/main/mapping_a#L1", "https://git.example/blob/main/mapping_a#L1"},
		{"http://git.example:8080/a%20b", "http://git.example:8080/a%20b"},
		{"javascript:alert(1)", ""},
		{"//git.example/a", ""},
		{"https://user:secret@git.example/a", ""},
		{"https://git.example/\u202ea", ""},
		{"https://git.example/" + strings.Repeat("x", maxURL), ""},
		{"https://git.example/moved#L2", "https://git.example/moved#L2"},
		{"", ""},
	} {
		u := run(i, line{"v1", stream.Current, "a", ""})
		u.Report.Results[0].URL, u.Report.Run.URL = c.url, c.url
		r = applied(t, r, u)
		if got, run := r.Destinations[0].URL, r.LastRun().URL; got != c.want || run != c.want {
			t.Errorf("%.60q: recorded as %q and %q, want %q", c.url, got, run, c.want)
		}
	}
}

func TestDryRunIsNotRecorded(t *testing.T) {
	r, u := New("tekton"), run(1, line{"v1", report.Planned, "a", ""})
	u.Report.Summary.Planned = new(int)
	if r.Apply(u) != r {
		t.Error("it is recorded")
	}
}

func TestHistoryIsBounded(t *testing.T) {
	r := New("tekton")
	for n := range 2 * MaxRuns {
		r = r.Apply(run(n, line{"v1", stream.Copied, string("0123456789abcdef"[n%16]), ""}))
	}
	d := r.Destinations[0]
	if len(r.Runs) != MaxRuns || len(d.Moves) != MaxMoves || r.LastRun().ID != "run-399" || d.Moves[MaxMoves-1].Digest != sha("f") {
		t.Errorf("there are %d runs, the last %s, and %d moves", len(r.Runs), r.LastRun().ID, len(d.Moves))
	}
	if r.Apply(run(3, line{"v1", stream.Failed, "", ""})) != r {
		t.Error("a run that is older than all that are kept is recorded")
	}
}

func TestDestinationsAreBounded(t *testing.T) {
	var lines []line
	for n := range MaxDestinations {
		lines = append(lines, line{fmt.Sprintf("v%05d", n), stream.Current, "a", ""})
	}
	r := New("tekton").Apply(run(1, append(slices.Clone(lines[1:]), line{"gone", stream.Current, "a", ""})...))
	r = r.Apply(run(2, lines...))
	if len(r.Destinations) != MaxDestinations || r.Destinations[0].Name != "quay.io/org/a:v00000" {
		t.Errorf("there are %d destinations, the first %s", len(r.Destinations), r.Destinations[0].Name)
	}
}

func TestImagesThatArePushedByDigestAreDestinations(t *testing.T) {
	u := run(1, line{"x", stream.Copied, "a", ""}, line{"y", stream.Copied, "b", ""}, line{"z", stream.Failed, "", ""})
	for _, m := range u.Report.Results {
		m.Destination = "quay.io:443/org/a"
	}
	var names []string
	for _, d := range applied(t, New("tekton"), u).Destinations {
		names = append(names, d.Name)
	}
	if diff := cmp.Diff([]string{"quay.io:443/org/a", "quay.io:443/org/a@" + sha("a"), "quay.io:443/org/a@" + sha("b")}, names); diff != "" {
		t.Error(diff)
	}
}

// Runs in any order, with the same destinations or others, leave a record that can be read, in
// which a destination is as the last run saw it.
func FuzzApply(f *testing.F) {
	f.Add(uint64(1), "quay.io/a:b", "denied", int64(5))
	f.Add(uint64(2), "", "\x1b[2J\xff…", int64(-5))
	f.Add(uint64(3), strings.Repeat("ü", 3000), "a\nb", int64(1)<<62)
	f.Fuzz(func(t *testing.T, seed uint64, name, message string, n int64) {
		random := rand.New(rand.NewPCG(seed, 0))
		r := New(name)
		for range 8 {
			b := report.NewBuilder()
			c := &stream.Content{Header: stream.Header{Stream: stream.Results, Run: message, Mappings: 4}}
			for id := range 4 {
				c.Mappings = append(c.Mappings, stream.Mapping{ID: id, Source: message, Destination: name + fmt.Sprint(id), Set: name, File: message, Line: int(n)})
				one := stream.Result{ID: id, Status: stream.Copied, Digest: sha(string("abc"[random.IntN(3)])), Bytes: max(n, 0)}
				if random.IntN(2) == 0 {
					one.Status, one.Error = stream.Failed, &stream.Error{Side: name, Status: int(n), Message: message, Advice: name}
				}
				c.Results = append(c.Results, one)
			}
			if err := b.Add(c); err != nil {
				return
			}
			end := noon.Add(time.Duration(random.Int64N(1e15)))
			u := Update{Report: b.Report(), Now: noon.Add(1e14)}
			u.Report.Run = report.Run{ID: message + fmt.Sprint(random.IntN(6)), Version: name, End: end, Start: time.Unix(n, 0)}
			r = applied(t, r, u)
		}
	})
}

// A held destination is as somebody wants it. Of a deferred one nothing is known, and the run is
// not good unless the settings allow that.
func TestWaitingDestinations(t *testing.T) {
	r := New("tekton").Apply(run(0, line{"v1", stream.Copied, "a", ""}, line{"v2", stream.Failed, "a", ""}))
	waiting := run(5, line{"v1", stream.Held, "b", "a"}, line{"v2", stream.Deferred, "", ""})
	r = r.Apply(waiting)
	held, deferred := r.Destinations[0], r.Destinations[1]
	if held.Digest != sha("a") || len(held.Moves) != 1 || !held.LastGood.Equal(waiting.Report.Run.End) {
		t.Errorf("the held destination is %+v", held)
	}
	if deferred.FailingSince.IsZero() || !deferred.LastGood.IsZero() || deferred.Digest != "" {
		t.Errorf("the deferred destination is %+v", deferred)
	}
	if last := r.LastRun(); last.Verdict != Failed || last.Held != 1 || last.Deferred != 1 {
		t.Errorf("the run is %+v", last)
	}
}

// A destination that is known from the record alone is good, and was last checked when it was.
func TestRecordedDestinations(t *testing.T) {
	asked := run(0, line{"v1", stream.Copied, "a", ""})
	r := New("tekton").Apply(asked)
	for n := 1; n < 4; n++ {
		later := run(n, line{"v1", stream.Current, "a", "a"})
		later.Report.Results[0].Recorded = true
		r = r.Apply(later)
		if d := r.Destinations[0]; !d.LastGood.Equal(later.Report.Run.End) || !d.CheckedAt().Equal(asked.Report.Run.End) {
			t.Errorf("after run %d it is %+v", n, d)
		}
	}
	again := run(4, line{"v1", stream.Current, "a", "a"})
	if d := r.Apply(again).Destinations[0]; !d.Checked.IsZero() || !d.CheckedAt().Equal(again.Report.Run.End) {
		t.Errorf("after it was checked again it is %+v", d)
	}
}
