package record

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/report"
	"imagemirror/internal/stream"
)

// The record has what the last run with a plan selected.
func TestSelectionsAreRecorded(t *testing.T) {
	with := func(u Update, attrition ...string) Update {
		u.Report.Sets = []*report.Set{{Name: "tekton"}}
		for i, text := range attrition {
			u.Report.Selections = append(u.Report.Selections, &report.Selection{
				Source: "a.io/b:*", File: "mapping_a", Line: i + 1, Rule: "settings.yaml:7", Listed: 9, Selected: i, Minimum: 1, Attrition: text,
			})
		}
		return u
	}
	got := func(r *Record) (lines []string) {
		for _, s := range r.Selections {
			lines = append(lines, fmt.Sprintf("%s:%d %s %v", s.File, s.Line, s.Attrition, s.Enough()))
		}
		return lines
	}
	r := New("tekton").Apply(with(run(1, line{"v1", stream.Copied, "a", ""}), "9 tags, 0 newest", "9 tags, 1 newest: v1"))
	want := []string{"mapping_a:1 9 tags, 0 newest false", "mapping_a:2 9 tags, 1 newest: v1 true"}
	if diff := cmp.Diff(want, got(r)); diff != "" {
		t.Errorf("selections (-want +got):\n%s", diff)
	}
	late := with(run(0, line{"v1", stream.Copied, "b", ""}), "older")
	late.Now = noon.Add(90 * time.Minute)
	broken := run(2)
	of := broken.Report.Run
	broken.Report = report.NoPlan("split: no")
	broken.Report.Run = of
	if diff := cmp.Diff(want, got(r.Apply(broken).Apply(late))); diff != "" {
		t.Errorf("after a run without a plan, and an older one (-want +got):\n%s", diff)
	}
	if r = r.Apply(with(run(3, line{"v1", stream.Current, "a", ""}))); len(r.Selections) > 0 {
		t.Errorf("without rules, the record still has %q", got(r))
	}
}
