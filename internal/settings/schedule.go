package settings

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// CheckSchedule refuses a schedule that is not a cron expression, or that Kubernetes does not
// accept.
func CheckSchedule(schedule string) error {
	const write = "write five fields, such as 7 * * * *"
	// The time zone of a CronJob is a field of its own. Kubernetes refuses one in the schedule.
	if len(schedule) > maxText || strings.Contains(schedule, "=") {
		return fmt.Errorf("%.*q is not a cron expression: %s", maxText, schedule, write)
	}
	if strings.HasPrefix(schedule, "@every") {
		return fmt.Errorf("%q counts from the start of the cluster, not by the clock: %s", schedule, write)
	}
	when, err := cron.ParseStandard(schedule)
	if err != nil {
		return fmt.Errorf("%q is not a cron expression: %s (%s)", schedule, write, strings.ReplaceAll(err.Error(), "\n", " "))
	}
	if when.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return fmt.Errorf("%q is for a date that does not exist: %s", schedule, write)
	}
	return nil
}

// ShortestGap returns the shortest time between two starts by a schedule that CheckSchedule
// accepts. Schedules are in UTC, which has no change of clocks.
func ShortestGap(schedule string) time.Duration {
	when, err := cron.ParseStandard(schedule)
	if err != nil {
		return 0
	}
	const day = 24 * time.Hour
	first := when.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).Add(-time.Second))
	gap, last := time.Duration(1<<63-1), first
	for next := when.Next(last); next.Truncate(day).Equal(first.Truncate(day)); next = when.Next(last) {
		gap, last = min(gap, next.Sub(last)), next
	}
	// Each day with a start has them at the same times. Nothing is new after four years.
	for end := first.AddDate(4, 0, 1); first.Before(end) && gap > day+first.Sub(last); {
		next := when.Next(last)
		gap, first, last = min(gap, next.Sub(last)), next, next.Add(last.Sub(first))
	}
	return gap
}

// NextStart returns when a schedule next starts a run after a time, or the zero time if it never
// does or is not one that CheckSchedule accepts.
func NextStart(schedule string, after time.Time) time.Time {
	if CheckSchedule(schedule) != nil {
		return time.Time{}
	}
	when, err := cron.ParseStandard(schedule)
	if err != nil {
		return time.Time{}
	}
	return when.Next(after.UTC())
}
