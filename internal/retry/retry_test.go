package retry

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

var errBroken = errors.New("broken")

// attempts runs p on a request that fails each time with the given wait, and returns
// how often it was tried and how long that took.
func attempts(ctx context.Context, t *testing.T, p Policy, wait time.Duration) (n int, took time.Duration) {
	t.Helper()
	start := time.Now()
	err := p.Do(ctx, func(try int) (time.Duration, error) {
		if n++; try != n {
			t.Errorf("try %d is called %d", n, try)
		}
		return wait, errBroken
	})
	if !errors.Is(err, errBroken) {
		t.Errorf("the error is %v, want that of the last try", err)
	}
	return n, time.Since(start)
}

func TestDoGivesUp(t *testing.T) {
	p := Policy{Tries: 4, First: time.Second, Max: 3 * time.Second}
	immediate := p
	immediate.Immediate = true
	for _, c := range []struct {
		name     string
		policy   Policy
		wait     time.Duration
		tries    int
		min, max time.Duration
	}{
		{"after all tries", p, 0, 4, 3 * time.Second, 6 * time.Second},
		{"with a second try that does not wait", immediate, 0, 4, 1500 * time.Millisecond, 3 * time.Second},
		{"when told to wait longer", p, time.Minute, 4, 3 * time.Minute, 3 * time.Minute},
		{"at once when another try is of no use", p, Never, 1, 0, 0},
		{"with one try only", Policy{Tries: 1, First: time.Second, Max: time.Second}, 0, 1, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, took := attempts(t.Context(), t, c.policy, c.wait)
				if n != c.tries || took < c.min || took > c.max {
					t.Errorf("%d tries in %s, want %d in %s to %s", n, took, c.tries, c.min, c.max)
				}
			})
		})
	}
}

func TestDoEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Second, cancel)
		n, took := attempts(ctx, t, Policy{Tries: 100, First: time.Second, Max: time.Hour}, time.Minute)
		if n != 1 || took != 10*time.Second {
			t.Errorf("%d tries in %s, want one, and the end in the wait behind it", n, took)
		}
	})
}

func TestDoDoesNotWaitBeyondTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Second)
		defer cancel()
		n, took := attempts(ctx, t, Policy{Tries: 100, First: time.Second, Max: time.Hour}, time.Minute)
		if n != 3 || took != 2*time.Minute {
			t.Errorf("%d tries in %s, want three, and no wait that would end after the deadline", n, took)
		}
		if err := Sleep(ctx, time.Minute); !errors.Is(err, ErrTooLong) {
			t.Errorf("Sleep returned %v", err)
		}
	})
}

func TestDoReturnsNilOnceATrySucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := Policy{Tries: 5, First: time.Second, Max: time.Second}.Do(t.Context(), func(n int) (time.Duration, error) {
			if n < 3 {
				return 0, errBroken
			}
			return 0, nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestBackoffStaysInBounds(t *testing.T) {
	p := Policy{First: 250 * time.Millisecond, Max: 10 * time.Second}
	for n := 1; n <= 1000; n++ {
		full := 10 * time.Second
		if n <= 6 {
			full = 250 * time.Millisecond << (n - 1)
		}
		if got := p.Backoff(n); got < full/2 || got > full {
			t.Errorf("the wait after try %d is %s, want %s to %s", n, got, full/2, full)
		}
	}
	if got := (Policy{First: time.Second, Max: time.Second, Immediate: true}).Backoff(1); got != 0 {
		t.Errorf("the wait before an immediate second try is %s", got)
	}
}

func TestAfter(t *testing.T) {
	now := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		value string
		want  time.Duration
	}{
		{"", 0},
		{"7", 7 * time.Second},
		{"0", 0},
		{"-3", 0},
		{"99999999", time.Minute},
		{"999999999999999999999999", 0},
		{"Tue, 24 Nov 2026 08:00:09 GMT", 9 * time.Second},
		{"Tue, 24 Nov 2026 07:00:00 GMT", 0},
		{"Tue, 24 Nov 2099 08:00:00 GMT", time.Minute},
		{"soon", 0},
	} {
		if got := After(http.Header{"Retry-After": {c.value}}, now); got != c.want {
			t.Errorf("After(%q) = %s, want %s", c.value, got, c.want)
		}
	}
}

func TestTransient(t *testing.T) {
	for status, want := range map[int]bool{
		200: false, 301: false, 400: false, 401: false, 403: false, 404: false, 413: false,
		408: true, 425: true, 429: true, 499: true, 500: true, 502: true, 503: true, 504: true, 520: true, 599: true,
		501: false, 505: false, 507: false, 511: false,
	} {
		if got := Transient(status); got != want {
			t.Errorf("Transient(%d) = %v", status, got)
		}
	}
}
