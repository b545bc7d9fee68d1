package waits

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A recorder keeps what it is told.
type recorder struct {
	begun []Wait
	ended int
}

func (r *recorder) Begin(w Wait) func() {
	r.begun = append(r.begun, w)
	return func() { r.ended++ }
}

func TestTheInnermostWatcherIsTold(t *testing.T) {
	var run, blob recorder
	outer := Watch(t.Context(), &run)
	inner := Watch(outer, &blob)
	for _, ctx := range []context.Context{t.Context(), inner} {
		Begin(ctx, Wait{Kind: Pause, Host: "quay.io", Limit: time.Minute})()
	}
	Begin(context.WithoutCancel(outer), Wait{Kind: Token, Host: "ghcr.io"})
	if diff := cmp.Diff([]Wait{{Kind: Pause, Host: "quay.io", Limit: time.Minute}}, blob.begun); diff != "" {
		t.Errorf("waits of the blob (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Wait{{Kind: Token, Host: "ghcr.io"}}, run.begun); diff != "" {
		t.Errorf("waits of the run (-want +got):\n%s", diff)
	}
	if blob.ended != 1 || run.ended != 0 {
		t.Errorf("%d and %d waits are over, want 1 and 0", blob.ended, run.ended)
	}
}
