package report

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/stream"
)

// Results that do not agree with the plan fail by name, in any order of the streams.
func TestResultsThatDisagreeWithThePlanFail(t *testing.T) {
	at := func(id int, status, d string) stream.Result {
		r := stream.Result{ID: id, Status: status}
		if d != "" {
			r.Digest = digestOf(d)
		}
		return r
	}
	settled := func() *sheet {
		return named(stream.Plan, "", 1, 2).with(at(1, stream.Current, "old"), broken(2, "no such tag"))
	}
	shard := func() *sheet { return named(stream.Plan, "a", 3).with(stream.Copy{ID: 3, Digest: digestOf("new")}) }
	good := func() *sheet { return named(stream.Results, "a", 3).with(at(3, stream.Copied, "new")) }
	all := func(with ...*sheet) []*sheet { return append([]*sheet{settled(), shard()}, with...) }
	says := func(d string) string { return ", the plan says " + digestOf(d) }
	kept := []string{"1 current 0", "2 failed 0 no such tag", "3 copied 0"}
	instead := func(line int, with string) []string {
		lines := append([]string{}, kept...)
		lines[line-1] = with
		return lines
	}
	for _, c := range []struct {
		name   string
		sheets []*sheet
		want   []string
	}{
		{"all agrees", all(good()), kept},
		{"copied at another digest", all(named(stream.Results, "a", 3).with(at(3, stream.Copied, "evil"))), instead(3, "3 failed 0 the result is of digest "+digestOf("evil")+says("new"))},
		{"current at another digest", all(named(stream.Results, "a", 3).with(at(3, stream.Current, "evil"))), instead(3, "3 failed 0 the result is of digest "+digestOf("evil")+says("new"))},
		{"copied without a digest", all(named(stream.Results, "a", 3).with(at(3, stream.Copied, ""))), instead(3, "3 failed 0 the result has no digest"+says("new"))},
		{"another attempt at another digest", all(good(), named(stream.Results, "a", 3).with(at(3, stream.Current, "evil")).later(1)), instead(3, "3 failed 0 the result is of digest "+digestOf("evil")+says("new"))},
		{"another attempt that failed", all(good(), named(stream.Results, "a", 3).with(broken(3, "late")).later(1)), kept},
		{"an extra mapping", all(named(stream.Results, "a", 3, 9).with(at(3, stream.Copied, "new"), at(9, stream.Copied, "evil"))), append(instead(3, "3 copied 0"), "9 failed 0 there is a result, but the plan does not have this mapping")},
		{"a settled mapping copied", all(good(), named(stream.Results, "a", 1).with(at(1, stream.Copied, "evil"))), instead(1, "1 failed 0 the result is copied at "+digestOf("evil")+", but the plan says current at "+digestOf("old"))},
		{"a settled mapping copied at its digest", all(good(), named(stream.Results, "a", 1).with(at(1, stream.Copied, "old"))), instead(1, "1 failed 0 the result is copied at "+digestOf("old")+", but the plan says current at "+digestOf("old"))},
		{"a mapping without a source copied", all(good(), named(stream.Results, "a", 2).with(at(2, stream.Copied, "evil"))), kept},
		{"settled mappings that copy passes on", all(good(), named(stream.Results, "a", 1, 2).with(at(1, stream.Current, "old"), broken(2, "no such tag"))), kept},
		{"two plans", all(good(), named(stream.Plan, "a", 3).with(stream.Copy{ID: 3, Digest: digestOf("evil")})), instead(3, "3 failed 0 two plans of the run disagree about it")},
		{"the same plan twice", all(good(), shard(), settled()), kept},
		{"a plan that is current without a digest", []*sheet{named(stream.Plan, "", 1).with(at(1, stream.Current, ""))}, []string{"1 failed 0 the plan says current, but has no digest"}},
		{"no plan, no digest", []*sheet{named(stream.Results, "", 1).with(at(1, stream.Copied, ""))}, []string{"1 failed 0 the result is copied, but has no digest"}},
		{"no plan, two digests", []*sheet{named(stream.Results, "", 1).with(at(1, stream.Copied, "new")), named(stream.Results, "", 1).with(at(1, stream.Copied, "new")), named(stream.Results, "", 1).with(at(1, stream.Current, "evil"))}, nil},
		{"a part of the plan only", []*sheet{shard(), good(), named(stream.Results, "b", 9).with(at(9, stream.Copied, "new"))}, []string{"3 copied 0", "9 copied 0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range c.sheets { // each comes first once
				c.sheets = append(c.sheets[1:], c.sheets[0])
				r, err := build(t, c.sheets...)
				if err != nil {
					t.Fatal(err)
				}
				if c.want == nil {
					if len(r.Results) != 1 || r.Err() == nil || !strings.HasPrefix(r.Results[0].Error, "one result is of digest ") {
						t.Errorf("the results are %v", brief(r))
					}
				} else if diff := cmp.Diff(c.want, brief(r)); diff != "" {
					t.Errorf("results (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// What a failed mapping shows is the planned digest, not that of a result.
func TestDisagreementShowsThePlannedDigest(t *testing.T) {
	plan := named(stream.Plan, "a", 3).with(stream.Copy{ID: 3, Digest: digestOf("new")})
	r, err := build(t, plan, named(stream.Results, "a", 3).with(stream.Result{ID: 3, Status: stream.Copied, Digest: digestOf("evil"), Bytes: 5}))
	if err != nil {
		t.Fatal(err)
	}
	if m := r.Results[0]; m.Digest != digestOf("new") || m.Advice != lookAtTag || r.Summary.Bytes != 0 {
		t.Errorf("the result is %+v", m)
	}
}

// A problem makes a report red in all its forms, however good its results are.
func TestProblemsAreRed(t *testing.T) {
	r, err := build(t, named(stream.Results, "", 1).with(result(1, stream.Copied, 5)))
	if err != nil {
		t.Fatal(err)
	}
	b := NewBuilder()
	b.AddProblem("split failed")
	problems := b.Report().Summary.Problems
	if len(problems) != 1 {
		t.Fatalf("the problems are %q", problems)
	}
	r.Summary.Problems = append(problems, "another")
	if err := r.Err(); err == nil || err.Error() != "split failed; and 1 more" {
		t.Errorf("the verdict is %v", err)
	}
	for _, file := range r.Files() {
		var out strings.Builder
		if err := file.Write(&out); err != nil || !strings.Contains(out.String(), "split failed") {
			t.Errorf("%s does not have the problem, %v:\n%s", file.Name, err, out.String())
		}
	}
	var table strings.Builder
	if err := r.WriteTable(&table); err != nil || !strings.Contains(table.String(), "\nPROBLEMS\n  split failed\n  another\n") {
		t.Errorf("the table is\n%s", table.String())
	}
}
