package execute

import (
	"context"
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

// Until returns a context that ends when copying that begins now has to, and what releases it.
// The context is nil if copying may take any time.
func (l CopyLimits) Until() (context.Context, context.CancelFunc) {
	if l.CopyDeadline == 0 {
		return nil, func() {}
	}
	return context.WithTimeout(context.Background(), l.CopyDeadline)
}

// Share returns a context that ends when the first of several parts has to, if all have to end
// with until, and what releases it. Without a deadline, all have the same time.
func Share(until context.Context, parts int) (context.Context, context.CancelFunc) {
	if until == nil {
		return nil, func() {}
	}
	end, ok := until.Deadline()
	if !ok {
		return until, func() {}
	}
	return context.WithTimeout(until, time.Until(end)/time.Duration(parts))
}
