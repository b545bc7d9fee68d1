package registry

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"imagemirror/internal/regerror"
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
			h.gaveUp(regerror.ErrStalled)
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

// What a registry cuts costs no time, so only silence makes /v2/ not count.
func TestHungRegistryIsDownAlthoughItAnswers(t *testing.T) {
	var h health
	for range 2 * hungAtMost {
		h.gaveUp(io.EOF)
	}
	if h.hasHung() || h.lost != lostAtMost {
		t.Errorf("%d requests that were cut count as hung, or as %d lost ones", 2*hungAtMost, h.lost)
	}
	for range hungAtMost {
		h.gaveUp(&regerror.Error{Err: regerror.ErrStalled})
	}
	if !h.hasHung() {
		t.Errorf("a registry that has not answered %d requests has not hung", hungAtMost)
	}
	h.answered()
	if h.hasHung() {
		t.Error("a registry that answers has hung")
	}
}

// A host that a registry leads to is down by itself, and few hosts are remembered.
func TestHealthOfOutsiders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := testHost(t, "registry.example")
		cdn := &url.URL{Scheme: "https", Host: "cdn.example"}
		for range lostAtMost {
			if err := h.elsewhere.mayAsk(t.Context(), h, cdn); err != nil {
				t.Fatal(err)
			}
			h.healthOf(&regerror.Error{Host: cdn.Host}).gaveUp(regerror.ErrStalled)
		}
		h.elsewhere.at(cdn.Host).liveness.asked = time.Now() // it did not answer
		if err := h.elsewhere.mayAsk(t.Context(), h, cdn); err != nil {
			t.Errorf("a host that is down gets no probe: %v", err)
		}
		if err := h.elsewhere.mayAsk(t.Context(), h, cdn); !errors.Is(err, regerror.ErrHostDown) {
			t.Errorf("a host that is down may be asked: %v", err)
		}
		if h.health.tries(6) == 0 || h.elsewhere.mayAsk(t.Context(), h, &url.URL{Scheme: "https", Host: "other.example"}) != nil {
			t.Error("the registry or another host counts as down")
		}
		for i := range 1000 {
			h.elsewhere.at(fmt.Sprint(i))
		}
		if n := len(h.elsewhere.by); n > outsidersAtMost {
			t.Errorf("%d hosts are remembered", n)
		}
	})
}
