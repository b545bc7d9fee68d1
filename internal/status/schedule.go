package status

import (
	"time"

	"imagemirror/internal/record"
	"imagemirror/internal/settings"
)

// grace is how long a run may be late besides twice the time of the longest run, as for the alert
// ImageSetNotRunning.
const grace = 30 * time.Minute

// dueAfter returns when the run after the last one was due, and reports whether it is late. A
// record has a run only after its end.
func dueAfter(runs []*record.Run, schedule string, now time.Time) (due time.Time, late bool) {
	if len(runs) == 0 {
		return time.Time{}, false
	}
	var longest time.Duration
	for _, run := range runs {
		longest = max(longest, run.End.Sub(run.Start))
	}
	due = settings.NextStart(schedule, runs[len(runs)-1].End)
	return due, !due.IsZero() && now.Sub(due)-grace > 2*longest
}
