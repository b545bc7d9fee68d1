package status

import (
	"html/template"
	"testing"
	"time"
)

func TestTimesAsElements(t *testing.T) {
	taken := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	east := time.FixedZone("", 5*3600+1800)
	for _, c := range []struct {
		name  string
		when  time.Time
		files bool
		want  template.HTML
	}{
		{"no time", time.Time{}, false, `<span class="dim">never</span>`},
		{"no time, in a file", time.Time{}, true, `<span class="dim">never</span>`},
		{"before", taken.Add(-3 * time.Hour), false, `<time datetime="2026-03-02T09:00:00Z" title="2026-03-02 09:00:00 UTC">3 h ago</time>`},
		{"after", taken.Add(90 * time.Second), false, `<time datetime="2026-03-02T12:01:30Z" title="2026-03-02 12:01:30 UTC">in 1 min</time>`},
		{"in another zone", taken.Add(-time.Second).In(east), false, `<time datetime="2026-03-02T11:59:59Z" title="2026-03-02 11:59:59 UTC">just now</time>`},
		{"in a file", taken.Add(-3 * time.Hour), true, `<time datetime="2026-03-02T09:00:00Z" title="2026-03-02 09:00:00 UTC">2 Mar 09:00</time>`},
		{"in a file of another year", taken.AddDate(-1, 0, 0), true, `<time datetime="2025-03-02T12:00:00Z" title="2025-03-02 12:00:00 UTC">2 Mar 2025</time>`},
	} {
		p := &page{view: view{Snapshot: &Snapshot{Taken: taken}, files: c.files}}
		if got := p.Moment(c.when); got != c.want {
			t.Errorf("%s: got  %s\nwant %s", c.name, got, c.want)
		}
	}
}
