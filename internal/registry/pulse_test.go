package registry

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"imagemirror/internal/regerror"
)

// What is called off while it knocks does not make the host silent for others.
func TestKnocksThatAreCalledOffDoNotCount(t *testing.T) {
	for _, c := range []struct {
		name   string
		cause  error
		counts bool
	}{
		{"its image yields", errors.New("another goes first"), false},
		{"its time is over", context.DeadlineExceeded, false},
		{"the run ends", nil, false},
		{"the host stalls", regerror.ErrStalled, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := health{lost: lostAtMost, probed: time.Now()}
			ctx, end := context.WithCancelCause(t.Context())
			silent := func(ctx context.Context) bool {
				end(c.cause)
				<-ctx.Done()
				return false
			}
			if tries := h.triesOf(ctx, 6, silent); tries != 0 {
				t.Errorf("%s: %d tries without an answer to the knock", c.name, tries)
			}
			knocked := false
			tries := h.triesOf(t.Context(), 6, func(context.Context) bool { knocked = true; return true })
			if knocked == c.counts || (tries == 1) == c.counts {
				t.Errorf("%s: the next request knocks: %t, and gets %d tries", c.name, knocked, tries)
			}
		})
	}
}
