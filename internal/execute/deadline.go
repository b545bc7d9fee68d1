package execute

import (
	"fmt"
	"time"

	"imagemirror/internal/quantity"
	"imagemirror/internal/stream"
)

// CopyLimits is the part of the environment that bounds how long copying takes, and how fast it is.
type CopyLimits struct {
	Bandwidth    quantity.Bytes `desc:"bytes of blobs that are read per second, from all registries together, such as 50Mi; no limit if unset"`
	CopyDeadline time.Duration  `split_words:"true" default:"0" desc:"time for copying, after which mappings whose images are not there fail; 0 is any"`
}

// Check reports an invalid value.
func (l CopyLimits) Check() error {
	if l.CopyDeadline < 0 {
		return fmt.Errorf("MIRROR_COPY_DEADLINE is %s: give a duration such as 50m, or 0", l.CopyDeadline)
	}
	return nil
}

// Limit returns how many bytes of blobs may be read per second, with a cap that the plan sets too.
// 0 is no limit.
func (l CopyLimits) Limit(plan stream.Cap) int64 {
	return tighter(plan, stream.Cap{Bandwidth: int64(l.Bandwidth)}).Bandwidth
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
