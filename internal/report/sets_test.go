package report

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/stream"
)

func TestSetsHaveReportsOfTheirOwn(t *testing.T) {
	s := &sheet{header: stream.Header{Stream: stream.Results, Run: "r", Mappings: 4, Started: noon}, ended: noon.Add(1e9)}
	s.add("set", stream.Set{Name: "a", Owners: []string{"alice"}})
	s.add("set", stream.Set{Name: "b"})
	for id, set := range []string{"a", "b", "a", ""} {
		s.add("mapping", stream.Mapping{ID: id, Source: "ci/x:v", Destination: fmt.Sprint("quay.io/x:", id), Set: set, File: "mapping", Line: id})
	}
	s.with(result(0, stream.Copied, 5), broken(1, "denied"), result(2, stream.Current, 0), result(3, stream.Copied, 7))
	r, err := build(t, s)
	if err != nil {
		t.Fatal(err)
	}
	r.Summary.Unknown = 2
	got := map[string]string{}
	for name, one := range r.BySet() {
		s := one.Summary
		got[name] = fmt.Sprint(len(one.Results), " results: ", s.Mappings, s.Copied, s.Current, s.Failed, s.Bytes, s.Unknown, " causes ", len(one.Causes), " ", one.Err())
	}
	want := map[string]string{
		"a": "2 results: 2 1 1 0 5 2 causes 1 2 mappings unknown: copy was cut before it named all of its work",
		"b": "1 results: 1 0 0 1 0 2 causes 1 1 of 1 mapping failed, and 2 more are unknown",
		"":  "1 results: 1 1 0 0 7 2 causes 1 2 mappings unknown: copy was cut before it named all of its work",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the reports (-want +got):\n%s", diff)
	}
}

func TestSetsOfADryRun(t *testing.T) {
	r, err := build(t, dryRun())
	if err != nil {
		t.Fatal(err)
	}
	planned := 0
	for _, one := range r.BySet() {
		planned += *one.Summary.Planned
	}
	if planned != *r.Summary.Planned {
		t.Errorf("the sets have %d images to copy, the run has %d", planned, *r.Summary.Planned)
	}
}
