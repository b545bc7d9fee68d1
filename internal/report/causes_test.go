package report

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"imagemirror/internal/fault"
	"imagemirror/internal/stream"
)

// outage returns the results of mappings of five sets, all of which failed at quay.io, each with
// a message of its own.
func outage(n int) *sheet {
	s := &sheet{header: stream.Header{Stream: stream.Results, Run: "r", Mappings: n, Started: noon}, ended: noon.Add(time.Minute)}
	for i := range 5 {
		s.add("set", stream.Set{Name: fmt.Sprint("set", i), Owners: []string{fmt.Sprint("owner", i)}})
	}
	for id := range n {
		s.add("mapping", stream.Mapping{
			ID: id, Source: fmt.Sprint("ci.io/a/", id/2, ":v1"), Destination: fmt.Sprintf("quay.io/a/%d:v%d", id/2, id%2),
			Set: fmt.Sprint("set", id/2%5), File: "mapping_a", Line: id/2 + 1,
		})
	}
	for id := range n {
		e := stream.Error{Kind: fault.Unavailable, Side: "destination", Host: "quay.io", Message: fmt.Sprintf("checking quay.io/a/%d: HTTP 503", id), Advice: "run again later"}
		if id > 20 {
			e.Message = fmt.Sprintf("checking quay.io/a/%d: the registry has answered none of the last requests", id)
		}
		r := failed(id, e)
		r.Time = noon.Add(time.Duration(100-id%50) * time.Second)
		s.add("result", r)
	}
	return s
}

func TestARegistryThatIsDownIsOneCause(t *testing.T) {
	r, err := build(t, outage(200))
	if err != nil {
		t.Fatal(err)
	}
	var sets []*CauseSet
	for i := range 5 {
		sets = append(sets, &CauseSet{Set: fmt.Sprint("set", i), Mappings: 40, Owners: []string{fmt.Sprint("owner", i)}})
	}
	want := []*Cause{{
		Key: "destination/quay.io/unavailable", Kind: fault.Unavailable, Side: "destination", Host: "quay.io",
		Title:   "quay.io does not answer, or answers with errors",
		Message: "checking quay.io/a/49: the registry has answered none of the last requests", Advice: "run again later",
		Mappings: 200, Sets: sets, First: noon.Add(51 * time.Second), Last: noon.Add(100 * time.Second),
	}}
	if diff := cmp.Diff(want, r.Causes, cmpopts.IgnoreFields(Cause{}, "Results")); diff != "" {
		t.Errorf("causes (-want +got):\n%s", diff)
	}
	if n := len(r.Causes[0].Results); n != 200 {
		t.Errorf("the cause has %d results, want 200", n)
	}
	for _, m := range r.Results {
		if m.Cause != "destination/quay.io/unavailable" {
			t.Fatalf("a result has the cause %q", m.Cause)
		}
	}
	var table bytes.Buffer
	if err := r.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(table.String(), "\n"); n > 80 {
		t.Errorf("the table of one cause has %d lines:\n%s", n, table.String())
	}
	if n := strings.Count(table.String(), "HTTP 503") + strings.Count(table.String(), "has answered none"); n != 1 {
		t.Errorf("one cause is said %d times:\n%s", n, table.String())
	}
}

// TestCausesAreGroupedBySideHostAndKind gives failures as pairs of what they have in common.
func TestCausesAreGroupedBySideHostAndKind(t *testing.T) {
	at := func(kind fault.Kind, side, host string) stream.Error {
		return stream.Error{Kind: kind, Side: side, Host: host, Message: "m"}
	}
	for _, c := range []struct {
		name   string
		errors []stream.Error
		keys   []string
	}{
		{"two missing images", []stream.Error{at(fault.Missing, "source", "ci.io"), at(fault.Missing, "source", "ci.io")}, []string{"source/ci.io/missing"}},
		{"two registries", []stream.Error{at(fault.Missing, "source", "ci.io"), at(fault.Missing, "source", "ghcr.io")}, []string{"source/ci.io/missing", "source/ghcr.io/missing"}},
		{"two sides", []stream.Error{at(fault.Denied, "source", "quay.io"), at(fault.Denied, "destination", "quay.io")}, []string{"source/quay.io/denied", "destination/quay.io/denied"}},
		{"two kinds", []stream.Error{at(fault.Quota, "destination", "quay.io"), at(fault.Denied, "destination", "quay.io")}, []string{"destination/quay.io/quota", "destination/quay.io/denied"}},
		{"the larger first", []stream.Error{at(fault.Quota, "destination", "quay.io"), at(fault.Denied, "destination", "quay.io"), at(fault.Denied, "destination", "quay.io")}, []string{"destination/quay.io/denied", "destination/quay.io/quota"}},
		{"a kind of another release", []stream.Error{at("new", "source", "ci.io"), at("", "", "")}, []string{"source/ci.io/internal", "-/-/internal"}},
		{"no result", nil, []string{"-/-/unfinished"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := max(1, len(c.errors))
			s := &sheet{header: stream.Header{Stream: stream.Results, Run: "r", Mappings: n, Started: noon}, ended: noon.Add(time.Minute)}
			for id := range n {
				s.add("mapping", stream.Mapping{ID: id, Source: "ci.io/a:v1", Destination: fmt.Sprint("quay.io/a:v", id), File: "f", Line: id})
			}
			for id, e := range c.errors {
				s.add("result", failed(id, e))
			}
			r, err := build(t, s)
			if err != nil {
				t.Fatal(err)
			}
			var keys []string
			for _, cause := range r.Causes {
				keys = append(keys, cause.Key)
			}
			if !slices.Equal(keys, c.keys) {
				t.Errorf("got the causes %q, want %q", keys, c.keys)
			}
		})
	}
}

func TestHostsOfCausesAreBounded(t *testing.T) {
	const n = 1000
	s := &sheet{header: stream.Header{Stream: stream.Results, Run: "r", Mappings: n, Started: noon}, ended: noon.Add(time.Minute)}
	for id := range n {
		s.add("mapping", stream.Mapping{ID: id, Source: "ci.io/a:v1", Destination: fmt.Sprint("quay.io/a:v", id), File: "f", Line: id})
		s.add("result", failed(id, stream.Error{Kind: fault.Unavailable, Side: "source", Host: fmt.Sprint("cdn", id, ".example"), Message: "m"}))
	}
	r, err := build(t, s)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Causes) != maxHosts+1 || r.Causes[0].Key != "source/-/unavailable" || r.Causes[0].Mappings != n-maxHosts {
		t.Errorf("got %d causes, the first %s of %d mappings", len(r.Causes), r.Causes[0].Key, r.Causes[0].Mappings)
	}
}

func TestAReportHasCausesExactlyIfItIsNotGood(t *testing.T) {
	cut := named(stream.Results, "").announcing(2)
	for _, c := range []struct {
		name  string
		build func() (*Report, error)
		key   string
	}{
		{"no plan", func() (*Report, error) { return NoPlan("split: mapping_a:1: no such registry"), nil }, "-/-/no-plan"},
		{"a problem", func() (*Report, error) {
			b := NewBuilder()
			b.AddProblem("split did not succeed")
			return b.Report(), nil
		}, "-/-/disagreement"},
		{"mappings without names", func() (*Report, error) { return build(t, cut) }, "-/-/unfinished"},
		{"nothing to do", func() (*Report, error) { return NewBuilder().Report(), nil }, ""},
	} {
		r, err := c.build()
		if err != nil {
			t.Fatal(err)
		}
		key := ""
		if len(r.Causes) > 0 {
			key = r.Causes[0].Key
		}
		if key != c.key || (r.Err() == nil) != (len(r.Causes) == 0) || len(r.Causes) > 1 {
			t.Errorf("%s: got the cause %q and the verdict %v, want %q", c.name, key, r.Err(), c.key)
		}
	}
}

// TestManySetsFitAScreen reports 200 sets. The last one fails.
func TestManySetsFitAScreen(t *testing.T) {
	const n = 200
	s := &sheet{header: stream.Header{Stream: stream.Results, Run: "r", Mappings: n, Started: noon}, ended: noon.Add(time.Minute)}
	for id := range n {
		s.add("set", stream.Set{Name: fmt.Sprintf("set%03d", id)})
		s.add("mapping", stream.Mapping{ID: id, Source: "ci.io/a:v1", Destination: fmt.Sprint("quay.io/a:v", id), Set: fmt.Sprintf("set%03d", id), File: "f", Line: id})
	}
	for id := range n - 1 {
		s.add("result", result(id, stream.Current, 0))
	}
	s.add("result", failed(n-1, stream.Error{Kind: fault.Missing, Side: "source", Host: "ci.io", Message: "m"}))
	r, err := build(t, s)
	if err != nil {
		t.Fatal(err)
	}
	var table bytes.Buffer
	if err := r.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(table.String(), "\n")
	if len(lines) > 60 || !strings.HasPrefix(lines[3], "set199 ") {
		t.Errorf("%d lines:\n%s", len(lines), table.String())
	}
	for _, want := range []string{"(160 more sets)       160        0      160       0", "total                 200        0      199       1"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table does not have %q:\n%s", want, table.String())
		}
	}
}
