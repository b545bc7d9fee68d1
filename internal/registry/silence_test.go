package registry

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"imagemirror/internal/regerror"
)

// stalls makes n attempts meet with silence, which began long ago.
func (h *health) stalls(n int, began time.Time) {
	for range n {
		h.unheard(context.Background(), began, began, io.EOF)
	}
}

// A host is suspected of silence after several attempts and a minute of it. Then it is asked for
// another minute, again and again, before what waits for it is called off.
func TestSilenceIsFoundOut(t *testing.T) {
	silent := func(ctx context.Context) bool { <-ctx.Done(); return false }
	for _, c := range []struct {
		name     string
		attempts int
		lasts    time.Duration
		probe    probe
		during   func(h *health) // while it is asked
		found    bool
	}{
		{name: "silent", attempts: quietAtMost, lasts: silentAtMost, probe: silent, found: true},
		{name: "refuses connections", attempts: quietAtMost, lasts: silentAtMost, probe: func(context.Context) bool { return false }, found: true},
		{name: "few attempts", attempts: quietAtMost - 1, lasts: time.Hour, probe: silent},
		{name: "a short time", attempts: hungAtMost, lasts: silentAtMost - time.Second, probe: silent},
		{name: "answers the probe", attempts: quietAtMost, lasts: silentAtMost, probe: func(context.Context) bool { return true }},
		{name: "answers while it is asked", attempts: quietAtMost, lasts: silentAtMost, probe: silent, during: (*health).heard},
		{name: "answers the probe only", attempts: hungAtMost, lasts: silentAtMost, probe: func(context.Context) bool { return true }, found: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := health{known: true}
				h.stalls(c.attempts, time.Now().Add(-c.lasts))
				up := h.period()
				if tries := h.triesOf(t.Context(), 6, c.probe); tries == 0 != (c.attempts == hungAtMost && c.found) {
					t.Errorf("a request gets %d tries before anything is known", tries)
				}
				time.Sleep(silentAtMost / 2)
				if c.during != nil {
					c.during(&h)
				}
				time.Sleep(silentAtMost/2 + time.Second)
				if got := h.isSilent(); got != c.found || (up.Err() != nil) != c.found {
					t.Fatalf("silent: %t, what waits ended: %v", got, context.Cause(up))
				}
				if c.found && !errors.Is(context.Cause(up), regerror.ErrDown) {
					t.Errorf("what waits ended with %v", context.Cause(up))
				}
			})
		})
	}
}

// A host that was found silent is tried by a request every probeEvery, and probed. Nothing else
// waits for it, and it is up again with the first answer.
func TestSilentHostIsTriedAgain(t *testing.T) {
	silent := func(ctx context.Context) bool { <-ctx.Done(); return false }
	answers := func(context.Context) bool { return true }
	fallen := func() *health {
		h := &health{known: true}
		h.stalls(quietAtMost, time.Now().Add(-silentAtMost))
		h.mu.Lock()
		defer h.mu.Unlock()
		h.fallLocked()
		return h
	}
	synctest.Test(t, func(t *testing.T) {
		h := fallen()
		if tries := h.triesOf(t.Context(), 6, answers); tries != 0 || h.period() != nil {
			t.Errorf("right after the verdict there are %d tries", tries)
		}
		time.Sleep(probeEvery)
		if first := h.triesOf(t.Context(), 6, silent); first != 1 {
			t.Errorf("later there are %d tries, want one", first)
		}
		limited, end := context.WithTimeout(t.Context(), time.Minute)
		defer end()
		go h.triesOf(limited, 6, silent)
		synctest.Wait()
		began := time.Now()
		if second := h.triesOf(t.Context(), 6, silent); second != 0 || time.Since(began) > 0 {
			t.Errorf("while a probe is under way there are %d tries after %s", second, time.Since(began))
		}
		h.heard()
		if tries := h.triesOf(t.Context(), 6, silent); tries != 6 || h.period().Err() != nil {
			t.Errorf("after an answer there are %d tries", tries)
		}
		if h = fallen(); h.isSilent() {
			time.Sleep(probeEvery)
			h.triesOf(t.Context(), 6, silent) // the one that tries it
		}
		if tries := h.triesOf(t.Context(), 6, answers); tries != 6 || h.isSilent() {
			t.Errorf("after an answer to a probe there are %d tries", tries)
		}
	})
}

// A request that waits for somebody else's probe is called off like any other.
func TestWaitForAProbeEndsWithItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := health{known: true, lost: lostAtMost, passed: time.Now()}
		go h.triesOf(t.Context(), 6, func(context.Context) bool { time.Sleep(time.Minute); return true })
		synctest.Wait()
		ctx, end := context.WithTimeout(t.Context(), time.Second)
		defer end()
		began := time.Now()
		if tries := h.triesOf(ctx, 6, nil); tries != 0 || time.Since(began) != time.Second {
			t.Errorf("there are %d tries after %s", tries, time.Since(began))
		}
		began = time.Now()
		if tries := h.triesOf(t.Context(), 6, nil); tries != 1 || time.Since(began) != 59*time.Second {
			t.Errorf("for one that waits there are %d tries after %s", tries, time.Since(began))
		}
	})
}
