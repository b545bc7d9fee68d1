package auth

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestOthersWaitForTheFirstAnswer(t *testing.T) {
	challenge := Challenge{scheme: bearer, realm: "https://auth.example.com/token"}
	for _, c := range []struct {
		name     string
		happens  func(a *Authorizer, answered func())
		released bool
	}{
		{"nothing yet", func(*Authorizer, func()) {}, false},
		{"an answer that may lead to another scheme", func(a *Authorizer, _ func()) { a.Learn(Challenge{}) }, false},
		{"a challenge", func(a *Authorizer, _ func()) { a.Learn(challenge) }, true},
		{"the end of the first request", func(_ *Authorizer, answered func()) { answered() }, true},
		{"both", func(a *Authorizer, answered func()) { a.Learn(challenge); answered() }, true},
		{"a slow answer, for a while", func(*Authorizer, func()) { time.Sleep(10*time.Second - 1) }, false},
		{"a slow answer, for too long", func(*Authorizer, func()) { time.Sleep(10 * time.Second) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := New(Config{Timeout: 2 * time.Minute}) // so requests wait 10 s
				answered, err := a.Begin(t.Context())
				if answered == nil || err != nil {
					t.Fatalf("the first request is not told that it is: %v", err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				var begun atomic.Int64
				for range 3 {
					go func() {
						if answered, err := a.Begin(ctx); answered == nil && err == nil {
							begun.Add(1)
						}
					}()
				}
				synctest.Wait()
				c.happens(a, answered)
				go func() { _, _ = a.Begin(ctx) }() // one that comes later
				synctest.Wait()
				want := int64(0)
				if c.released {
					want = 3
				}
				if got := begun.Load(); got != want {
					t.Errorf("%d of 3 requests go, want %d", got, want)
				}
				cancel()
				synctest.Wait()
			})
		})
	}
}

func TestBeginEndsWithItsContext(t *testing.T) {
	a := New(Config{})
	if _, err := a.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if _, err := a.Begin(ctx); !errors.Is(err, gone) {
		t.Errorf("the error is %v, want the context's", err)
	}
}

func TestChallengeFoundOutsideABeginSparesTheWait(t *testing.T) {
	a := New(Config{})
	a.Learn(Challenge{scheme: basic})
	for range 2 {
		if answered, err := a.Begin(t.Context()); answered != nil || err != nil {
			t.Errorf("a request goes alone although the challenge is known: %v", err)
		}
	}
}
