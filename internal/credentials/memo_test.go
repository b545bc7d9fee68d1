package credentials

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m memo[int]
		asked := 0
		next := func() (int, error) { asked++; return asked, nil }
		get := func() int {
			got, err := m.do(t.Context(), "key", next)
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		if first, second := get(), get(); first != 1 || second != 1 {
			t.Errorf("got %d, then %d, want the same answer twice", first, second)
		}
		<-time.After(freshFor)
		if got := get(); got != 2 {
			t.Errorf("got answer %d, want a new one: the old one is stale", got)
		}
	})
}

func TestMemoForgetsInterruption(t *testing.T) {
	var m memo[int]
	ctx, cancel := context.WithCancel(t.Context())
	_, err := m.do(ctx, "key", func() (int, error) {
		cancel()
		return 0, ctx.Err()
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	got, err := m.do(t.Context(), "key", func() (int, error) { return 7, nil })
	if err != nil || got != 7 {
		t.Errorf("got %d, %v, want the answer to the second caller", got, err)
	}
}
