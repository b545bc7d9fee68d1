package report

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/stream"
)

// named begins a stream of a run, which names mappings with the IDs.
func named(kind, shard string, ids ...int) *sheet {
	s := &sheet{
		header: stream.Header{Stream: kind, Run: "r", Shard: shard, Mappings: len(ids), Started: noon},
		ended:  noon.Add(time.Minute),
	}
	for _, id := range ids {
		s.add("mapping", stream.Mapping{ID: id, Source: fmt.Sprintf("src/i:%d", id), Destination: fmt.Sprintf("dst/i:%d", id), File: "mapping_x", Line: id})
	}
	return s
}

func (s *sheet) with(records ...any) *sheet {
	for _, r := range records {
		switch r.(type) {
		case stream.Mapping:
			s.add("mapping", r)
		case stream.Copy:
			s.add("copy", r)
		case stream.Result:
			s.add("result", r)
		}
	}
	return s
}

// later moves the stream to an attempt that started later.
func (s *sheet) later(d time.Duration) *sheet {
	s.header.Started, s.ended = s.header.Started.Add(d), s.ended.Add(d)
	return s
}

func (s *sheet) cutOff() *sheet { s.cut = true; return s }

// announcing cuts the stream before it named all of n mappings.
func (s *sheet) announcing(n int) *sheet { s.header.Mappings, s.cut = n, true; return s }

func result(id int, status string, bytes int64) stream.Result {
	return stream.Result{ID: id, Status: status, Digest: digestOf("new"), Bytes: bytes}
}

func broken(id int, message string) stream.Result {
	return stream.Result{ID: id, Status: stream.Failed, Error: &stream.Error{Message: message}}
}

// build returns the report of the sheets' streams.
func build(t testing.TB, sheets ...*sheet) (*Report, error) {
	t.Helper()
	b := NewBuilder()
	for i, s := range sheets {
		if s.name == "" {
			s.name = fmt.Sprintf("in%d", i)
		}
		c, err := stream.Skim(bytes.NewReader(s.bytes(t)), s.name)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Add(c); err != nil {
			return nil, err
		}
	}
	return b.Report(), nil
}

// never returns the error of a mapping whose shard left nothing.
func never(shard string) string {
	return "no result: shard " + shard + " did not run or did not finish"
}

// brief returns a line for each result: its destination's tag, status, bytes and error.
func brief(r *Report) []string {
	var lines []string
	for _, m := range r.Results {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %d %s", strings.TrimPrefix(m.Destination, "dst/i:"), m.Status, m.Bytes, m.Error)))
	}
	return lines
}

func TestEachMappingHasOneResult(t *testing.T) {
	work := func(id int) stream.Copy { return stream.Copy{ID: id, Digest: digestOf("new"), Bytes: 100} }
	for _, c := range []struct {
		name   string
		sheets []*sheet
		want   []string
		err    string
	}{
		{
			name: "results of a pipe",
			sheets: []*sheet{
				named(stream.Results, "", 1, 2, 3).with(result(3, stream.Copied, 7), broken(2, "no"), result(1, stream.Current, 0)),
			},
			want: []string{"1 current 0", "2 failed 0 no", "3 copied 7"},
			err:  "1 of 3 mappings failed",
		},
		{
			name:   "a plan alone is a dry run",
			sheets: []*sheet{named(stream.Plan, "", 1, 2).with(result(1, stream.Current, 0), work(2))},
			want:   []string{"1 current 0", "2 planned 100"},
		},
		{
			name:   "plans alone are a dry run",
			sheets: []*sheet{named(stream.Plan, "", 1).with(result(1, stream.Current, 0)), named(stream.Plan, "a", 2).with(work(2))},
			want:   []string{"1 current 0", "2 planned 100"},
		},
		{
			name: "a shard that never ran",
			sheets: []*sheet{
				named(stream.Plan, "", 1).with(result(1, stream.Current, 0)),
				named(stream.Plan, "a", 2).with(work(2)),
				named(stream.Plan, "b", 3).with(work(3)),
				named(stream.Results, "a", 2).with(result(2, stream.Copied, 90)),
			},
			want: []string{"1 current 0", "2 copied 90", "3 failed 0 " + never("b")},
			err:  "1 of 3 mappings failed",
		},
		{
			name:   "results that lack a mapping",
			sheets: []*sheet{named(stream.Results, "a", 1, 2).with(result(2, stream.Copied, 90))},
			want:   []string{"1 failed 0 " + endedFirst, "2 copied 90"},
			err:    "1 of 2 mappings failed",
		},
		{
			name:   "results that were cut",
			sheets: []*sheet{named(stream.Results, "a", 1, 2).with(result(2, stream.Copied, 90)).cutOff()},
			want:   []string{"1 failed 0 " + endedFirst, "2 copied 90"},
			err:    "1 of 2 mappings failed",
		},
		{
			name:   "results without their end record are complete",
			sheets: []*sheet{named(stream.Results, "a", 1).with(result(1, stream.Copied, 90)).cutOff()},
			want:   []string{"1 copied 90"},
		},
		{
			name: "plan and results in any order",
			sheets: []*sheet{
				named(stream.Results, "a", 1, 2).with(result(2, stream.Copied, 90), broken(1, "no")),
				named(stream.Plan, "a", 1, 2).with(work(1), work(2)),
			},
			want: []string{"1 failed 0 no", "2 copied 90"},
			err:  "1 of 2 mappings failed",
		},
		{
			name: "the second attempt finds what the first copied",
			sheets: []*sheet{
				named(stream.Results, "a", 1, 2, 3).with(result(1, stream.Copied, 90), result(2, stream.Copied, 50)).cutOff(),
				named(stream.Results, "a", 1, 2, 3).with(result(1, stream.Current, 0), result(2, stream.Copied, 0), result(3, stream.Copied, 10)).later(time.Minute),
			},
			want: []string{"1 copied 90", "2 copied 50", "3 copied 10"},
		},
		{
			name: "the second attempt, named first",
			sheets: []*sheet{
				named(stream.Results, "a", 1, 2).with(result(1, stream.Current, 0), result(2, stream.Copied, 10)).later(time.Minute),
				named(stream.Results, "a", 1, 2).with(result(1, stream.Copied, 90), broken(2, "timeout")),
			},
			want: []string{"1 copied 90", "2 copied 10"},
		},
		{
			name: "a failure does not undo a copy, and the later of two failures counts",
			sheets: []*sheet{
				named(stream.Results, "a", 1, 2).with(broken(1, "late"), broken(2, "late")).later(time.Minute),
				named(stream.Results, "a", 1, 2).with(result(1, stream.Current, 0), broken(2, "early")),
			},
			want: []string{"1 current 0", "2 failed 0 late"},
			err:  "1 of 2 mappings failed",
		},
		{
			name: "one stream twice",
			sheets: []*sheet{
				named(stream.Results, "a", 1).with(result(1, stream.Copied, 90)),
				named(stream.Results, "a", 1).with(result(1, stream.Copied, 90)),
			},
			want: []string{"1 copied 90"},
		},
		{
			name: "cut before all mappings were named",
			sheets: []*sheet{
				named(stream.Results, "a", 1).with(result(1, stream.Copied, 90)),
				named(stream.Results, "b", 2).announcing(5),
			},
			want: []string{"1 copied 90", "2 failed 0 " + endedFirst},
			err:  "1 of 2 mappings failed, and 4 more are unknown",
		},
		{
			name:   "cut before any mapping was named",
			sheets: []*sheet{named(stream.Results, "b").announcing(5)},
			err:    "5 mappings unknown: copy was cut before it named all of its work",
		},
		{
			name: "the plan names what the results do not",
			sheets: []*sheet{
				named(stream.Plan, "a", 1, 2).with(work(1), work(2)),
				named(stream.Results, "a", 1).announcing(2),
			},
			want: []string{"1 failed 0 " + endedFirst, "2 failed 0 " + never("a")},
			err:  "2 of 2 mappings failed",
		},
		{
			name: "the plans of several shards name what their results do not",
			sheets: []*sheet{
				named(stream.Plan, "a", 1).with(work(1)),
				named(stream.Plan, "b", 2).with(work(2)),
				named(stream.Results, "a,b").announcing(2),
			},
			want: []string{"1 failed 0 " + never("a"), "2 failed 0 " + never("b")},
			err:  "2 of 2 mappings failed",
		},
		{
			name: "a second attempt names what the first did not",
			sheets: []*sheet{
				named(stream.Results, "a").announcing(1),
				named(stream.Results, "a", 1).with(result(1, stream.Copied, 90)).later(time.Minute),
			},
			want: []string{"1 copied 90"},
		},
		{
			name: "settled mappings do not stand for the work of a pipe",
			sheets: []*sheet{
				named(stream.Plan, "", 1, 2).with(result(1, stream.Current, 0), result(2, stream.Current, 0)),
				named(stream.Results, "").announcing(2),
			},
			want: []string{"1 current 0", "2 current 0"},
			err:  "2 mappings unknown: copy was cut before it named all of its work",
		},
		{
			name:   "no mapping at all",
			sheets: []*sheet{named(stream.Results, "")},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := build(t, c.sheets...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, brief(r)); diff != "" {
				t.Errorf("results (-want +got):\n%s", diff)
			}
			got := ""
			if err := r.Err(); err != nil {
				got = err.Error()
			}
			if got != c.err {
				t.Errorf("the verdict is %q, want %q", got, c.err)
			}
			s := r.Summary
			if n := s.Copied + s.Current + s.Failed + r.planned(); n != s.Mappings || n != len(r.Results) {
				t.Errorf("the summary %+v does not add up to %d results", s, len(r.Results))
			}
		})
	}
}

func TestBuilderRefusesStreamsThatDoNotBelongTogether(t *testing.T) {
	other := named(stream.Results, "a")
	other.header.Mappings = 1
	other.add("mapping", stream.Mapping{ID: 1, Source: "src/other:1", Destination: "dst/i:1"})
	yesterday := named(stream.Results, "", 1, 2).with(result(1, stream.Copied, 5), result(2, stream.Copied, 5))
	yesterday.header.Run = "q"
	for _, c := range []struct {
		name   string
		sheets []*sheet
		want   string
	}{
		{
			"a mapping in two runs",
			[]*sheet{named(stream.Results, "a", 3, 2), yesterday},
			"in1 is of another run than in0, and both have src/i:2 to dst/i:2: give the streams of one run",
		},
		{
			"a plan that was cut",
			[]*sheet{named(stream.Plan, "a", 1).cutOff()},
			"in0:2: the stream is cut: its end record is missing: run split again, a plan has to be whole",
		},
		{
			"streams of different runs",
			[]*sheet{named(stream.Results, "a", 1), other},
			`in1: mapping 1 of run "r" is src/other:1 to dst/i:1 here and src/i:1 to dst/i:1 in another stream: the two do not belong together`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if r, err := build(t, c.sheets...); err == nil || err.Error() != c.want {
				t.Errorf("got  %v, %v\nwant %s", r, err, c.want)
			}
		})
	}
}

func TestBuilderKeepsRunsApart(t *testing.T) {
	first := named(stream.Results, "", 2, 1).with(result(1, stream.Copied, 5), result(2, stream.Copied, 5))
	second := named(stream.Results, "").with(
		stream.Mapping{ID: 2, Source: "src/j:2", Destination: "dst/j:2"}, stream.Mapping{ID: 1, Source: "src/j:1", Destination: "dst/j:1"},
		result(1, stream.Current, 0), result(2, stream.Current, 0)).later(time.Hour)
	second.header.Run, second.header.Mappings = "q", 2
	r, err := build(t, first, second)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"dst/j:1 current 0", "dst/j:2 current 0", "1 copied 5", "2 copied 5"}
	if diff := cmp.Diff(want, brief(r)); diff != "" {
		t.Errorf("results by run and ID (-want +got):\n%s", diff)
	}
}

func TestFailedMappingKeepsThePlannedImage(t *testing.T) {
	plan := named(stream.Plan, "a", 1, 2).with(stream.Copy{ID: 1, Digest: digestOf("new"), Old: digestOf("old"), Bytes: 9}, stream.Copy{ID: 2, Digest: digestOf("new")})
	results := named(stream.Results, "a", 1, 2).with(broken(1, "no"))
	for _, order := range [][]*sheet{{plan, results}, {results, plan}} {
		r, err := build(t, order...)
		if err != nil {
			t.Fatal(err)
		}
		if m := r.Results[0]; m.Digest != digestOf("new") || m.Old != digestOf("old") || m.Bytes != 0 {
			t.Errorf("digest %q, old %q, %d bytes; want the plan's digests and no bytes", m.Digest, m.Old, m.Bytes)
		}
	}
}

func TestDurationIsThatOfTheWholeRun(t *testing.T) {
	for _, c := range []struct {
		name   string
		sheets []*sheet
		want   float64
	}{
		{"one stream", []*sheet{named(stream.Results, "")}, 60},
		{"earliest to latest", []*sheet{named(stream.Results, "a").later(time.Minute), named(stream.Plan, ""), named(stream.Results, "b").later(1500 * time.Millisecond)}, 120},
		{"cut", []*sheet{named(stream.Results, "").cutOff()}, 0},
		{"a clock that was set back", []*sheet{{header: stream.Header{Stream: stream.Results, Started: noon}, ended: noon.Add(-time.Hour)}}, 0},
		{"no start", []*sheet{{header: stream.Header{Stream: stream.Results}, ended: noon}}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := build(t, c.sheets...)
			if err != nil {
				t.Fatal(err)
			}
			if got := r.Summary.DurationSeconds; got != c.want {
				t.Errorf("durationSeconds is %v, want %v", got, c.want)
			}
		})
	}
}
