package registry

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h health
		if got := h.tries(6); got != firstTries {
			t.Errorf("a registry that has never answered gets %d tries, want %d", got, firstTries)
		}
		h.answered()
		for i := range lostAtMost {
			if got := h.tries(6); got != 6 {
				t.Fatalf("after %d lost requests there are %d tries, want all 6", i, got)
			}
			h.gaveUp()
		}
		if first, second := h.tries(6), h.tries(6); first != 1 || second != 0 {
			t.Errorf("a registry that is down gets %d and then %d tries, want one probe and none", first, second)
		}
		time.Sleep(probeEvery)
		if got := h.tries(6); got != 1 {
			t.Errorf("after %s there are %d tries, want another probe", probeEvery, got)
		}
		h.answered()
		if got := h.tries(6); got != 6 {
			t.Errorf("after an answer there are %d tries, want all 6", got)
		}
	})
}
