package execute

import (
	"fmt"
	"time"
)

// CopyLimits is the part of the environment that bounds how long copying takes.
type CopyLimits struct {
	CopyDeadline time.Duration `split_words:"true" default:"0" desc:"time for copying, after which mappings whose images are not there fail; 0 is any"`
}

// Check reports an invalid value.
func (l CopyLimits) Check() error {
	if l.CopyDeadline < 0 {
		return fmt.Errorf("MIRROR_COPY_DEADLINE is %s: give a duration such as 50m, or 0", l.CopyDeadline)
	}
	return nil
}

// Until returns when copying that begins now has to end. Zero is never.
func (l CopyLimits) Until() time.Time {
	if l.CopyDeadline == 0 {
		return time.Time{}
	}
	return time.Now().Add(l.CopyDeadline)
}

// Share returns when the first of several parts has to end, if all have to end at until. Zero is
// never.
func Share(until time.Time, parts int) time.Time {
	if until.IsZero() {
		return until
	}
	return time.Now().Add(time.Until(until) / time.Duration(parts))
}
