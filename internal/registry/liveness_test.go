package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"imagemirror/internal/auth"
	"imagemirror/internal/regerror"
)

// What is called off while it probes does not make the host silent for others.
func TestProbesThatAreCalledOffDoNotCount(t *testing.T) {
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
			h := health{lost: lostAtMost, passed: time.Now()}
			ctx, end := context.WithCancelCause(t.Context())
			silent := func(ctx context.Context) bool {
				end(c.cause)
				<-ctx.Done()
				return false
			}
			if tries := h.triesOf(ctx, 6, silent); tries != 0 {
				t.Errorf("%s: %d tries without an answer to the probe", c.name, tries)
			}
			probed := false
			tries := h.triesOf(t.Context(), 6, func(context.Context) bool { probed = true; return true })
			if probed == c.counts || (tries == 1) == c.counts {
				t.Errorf("%s: the next request probes: %t, and gets %d tries", c.name, probed, tries)
			}
		})
	}
}

// A registry may have another challenge at /v2/ than for its repositories, as JFrog Artifactory
// does. A probe there does not replace what requests have learned, and tokens stay good.
func TestProbesChangeNoChallenge(t *testing.T) {
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="https://registry.example/token",service="%d"`, asked.Add(1)))
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(s.Close)
	h := testHost(t, strings.TrimPrefix(s.URL, "http://"))
	var first auth.Challenge
	for range 3 {
		if !h.ping(t.Context()) {
			t.Fatal("a registry that answers with a challenge seems silent")
		}
		if first.IsZero() {
			first = h.auth.Challenge()
		}
	}
	if first.IsZero() || h.auth.Challenge() != first {
		t.Errorf("the challenge was %+v, and is %+v", first, h.auth.Challenge())
	}
}
