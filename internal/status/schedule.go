package status

import (
	"time"

	"github.com/robfig/cron/v3"

	"imagemirror/internal/record"
)

// maxSchedule bounds the schedule of a record, in bytes. A parser of a hostile one would take
// long.
const maxSchedule = 100

// parseSchedule returns the times of a schedule in UTC, or nil if it is none.
func parseSchedule(schedule string) cron.Schedule {
	if schedule == "" || len(schedule) > maxSchedule {
		return nil
	}
	times, err := cron.ParseStandard("TZ=UTC " + schedule)
	if err != nil {
		return nil
	}
	return times
}

// nextStart returns the first scheduled time after now, or zero.
func nextStart(schedule string, now time.Time) time.Time {
	if times := parseSchedule(schedule); times != nil {
		return times.Next(now)
	}
	return time.Time{}
}

// dueAfter returns when the run after the last one was due, and reports whether it is late. A
// record gets a run at its end, so a run may take one interval, but no more than a day, and as
// long as the last one.
func dueAfter(last *record.Run, schedule string, now time.Time) (due time.Time, late bool) {
	times := parseSchedule(schedule)
	if times == nil || last == nil {
		return time.Time{}, false
	}
	due = times.Next(last.Start)
	after := times.Next(due)
	if due.IsZero() || after.IsZero() {
		return due, false
	}
	patience := min(after.Sub(due), 24*time.Hour) + max(0, last.End.Sub(last.Start))
	return due, now.After(due.Add(patience))
}
