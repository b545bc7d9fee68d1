package mirror

import (
	"context"
	"time"

	"golang.org/x/time/rate"
)

// leastBurst is what may be read at once, in bytes, however low the limit is.
const leastBurst = 32 << 10

// newBandwidth returns a limit on the bytes that all transfers read per second, or nil for none.
func newBandwidth(bytes int64) *rate.Limiter {
	if bytes == 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(bytes), int(min(max(bytes/10, leastBurst), 1<<30)))
}

// keepTo waits until the bandwidth allows the n bytes that were read. The other side waits
// meanwhile, which is not its fault: neither the watchdog of the request nor the turn counts it.
func (s *blobSource) keepTo(ctx context.Context, n int) error {
	if s.bandwidth == nil {
		return nil
	}
	began := time.Now()
	defer func() { s.turn.limited.Add(int64(time.Since(began))) }()
	for n > 0 {
		some := min(n, s.bandwidth.Burst())
		if err := s.bandwidth.WaitN(ctx, some); err != nil {
			return context.Cause(ctx)
		}
		n -= some
	}
	return nil
}
