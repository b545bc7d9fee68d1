package record

import (
	"slices"
	"strings"
	"testing"
	"time"

	"imagemirror/internal/report"
	"imagemirror/internal/stream"
)

// Which platforms were copied is known from the run that copied them, and stays until the
// destination has another digest.
func TestPlatformsAreRecorded(t *testing.T) {
	first, second, index := "sha256:"+strings.Repeat("1", 64), "sha256:"+strings.Repeat("2", 64), "sha256:"+strings.Repeat("3", 64)
	r := New("s")
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for i, c := range []struct {
		name      string
		result    report.Result
		platforms []string
		rewritten string
	}{
		{"a sparse copy", report.Result{Status: stream.Copied, Digest: first, Platforms: []string{"linux/amd64"}}, []string{"linux/amd64"}, ""},
		{"which is current", report.Result{Status: stream.Current, Digest: first}, []string{"linux/amd64"}, ""},
		{"which fails", report.Result{Status: stream.Failed, Digest: second}, []string{"linux/amd64"}, ""},
		{"which is completed", report.Result{Status: stream.Copied, Digest: first}, nil, ""},
		{"a rewritten index", report.Result{Status: stream.Copied, Digest: second, Platforms: []string{"linux/arm64"}, Rewritten: index}, []string{"linux/arm64"}, index},
		{"which is current", report.Result{Status: stream.Current, Digest: second, Platforms: []string{"linux/arm64"}, Rewritten: index}, []string{"linux/arm64"}, index},
		{"somebody moved it, and it fails", report.Result{Status: stream.Failed, Digest: second, Old: first}, nil, ""},
		{"a rewritten index again", report.Result{Status: stream.Copied, Digest: second, Platforms: []string{"linux/arm64"}, Rewritten: index}, []string{"linux/arm64"}, index},
		{"somebody moved it to another", report.Result{Status: stream.Current, Digest: first}, nil, ""},
	} {
		c.result.Destination, c.result.Source = "d/e:f", "a/b:c"
		end := at.Add(time.Duration(i) * time.Hour)
		rep := &report.Report{Run: report.Run{ID: end.String(), Start: end, End: end}, Summary: report.Summary{Mappings: 1}, Results: []*report.Result{&c.result}}
		r = r.Apply(Update{Report: rep, Now: end})
		d := r.Destination("d/e:f")
		if d == nil || !slices.Equal(d.Platforms, c.platforms) || d.Rewritten != c.rewritten {
			t.Errorf("%s: got %+v", c.name, d)
		}
		if err := r.check(); err != nil {
			t.Error(err)
		}
	}
	back := func(to string, platforms ...string) *Destination {
		r = r.WithRolledBack(map[string]RolledBack{"d/e:f": {From: r.Destinations[0].Digest, To: to, Platforms: platforms}}, at, "rollback-1")
		return r.Destinations[0]
	}
	if d := back(second, "linux/amd64"); !slices.Equal(d.Platforms, []string{"linux/amd64"}) || d.Rewritten != "" {
		t.Errorf("rolled back to a sparse index: got %+v", d)
	}
	if d := back(first); d.Platforms != nil {
		t.Errorf("rolled back to another image: got %+v", d)
	}
	bad := *r.Destinations[0]
	bad.Rewritten = "latest"
	if bad.check() == nil {
		t.Error("a record with a digest that is not one is accepted")
	}
	bad.Rewritten, bad.Platforms = "", []string{"linux/\x1b[2J"}
	if bad.check() == nil {
		t.Error("a record with a platform that cannot be shown is accepted")
	}
}
