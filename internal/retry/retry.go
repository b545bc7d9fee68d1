// Package retry tries a request again, after waits that grow, vary at random and honor
// Retry-After.
package retry

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"imagemirror/internal/waits"
)

// Never is the wait after a try that must be the last.
const Never = time.Duration(-1)

// maxAfter bounds Retry-After, so that no server can stop a run with it.
const maxAfter = 60 * time.Second

// A Policy bounds how often a request is tried and how long it waits in between.
type Policy struct {
	Tries     int              // at most, the first one included
	First     time.Duration    // wait between two tries, which doubles each time
	Max       time.Duration    // longest wait, unless a try asks for more
	Immediate bool             // the second try does not wait; First is the wait before the third
	Host      string           // that is tried, for whoever watches the waits
	Final     func(error) bool // reports whether an error ends the tries; nil if none does
}

// Do calls try with 1, 2 and so on until it succeeds, and returns the error of the last
// call. It gives up when try returns Never, when the tries are used up, and when ctx
// ends or will end before the next try. A wait that try returns is the least before the
// next one.
func (p Policy) Do(ctx context.Context, try func(n int) (wait time.Duration, err error)) error {
	for n := 1; ; n++ {
		wait, err := try(n)
		if err == nil || wait == Never || n >= p.Tries || ctx.Err() != nil || p.Final != nil && p.Final(err) {
			return err
		}
		if p.sleep(ctx, wait, p.Backoff(n)) != nil {
			return err
		}
	}
}

// sleep waits as long as the host asks for, and for the backoff at least.
func (p Policy) sleep(ctx context.Context, asked, backoff time.Duration) error {
	w := waits.Wait{Kind: waits.Again, Host: p.Host, Limit: max(asked, backoff)}
	if asked > backoff {
		w.Kind = waits.Pause
	}
	defer waits.Begin(ctx, w)()
	return Sleep(ctx, w.Limit)
}

// Backoff returns how long to wait after the nth try. Jitter makes it half of the full
// wait at least, so that requests which failed together are not sent together again.
func (p Policy) Backoff(n int) time.Duration {
	if p.Immediate {
		n--
	}
	if n < 1 {
		return 0
	}
	full := p.First
	for range n - 1 {
		if full >= p.Max {
			break
		}
		full *= 2
	}
	full = min(full, p.Max)
	return full - rand.N(full/2+1) //nolint:gosec // jitter is no secret
}

// ErrTooLong means that a wait would end after the deadline.
var ErrTooLong = errors.New("the wait that the registry asks for would end after the deadline")

// Sleep waits for d and returns nil, or returns ctx's cause when that ends first. If ctx's
// deadline is sooner, it returns ErrTooLong at once.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 || ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if end, ok := ctx.Deadline(); ok && time.Until(end) < d {
		return ErrTooLong
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// After reads a Retry-After header in either form (RFC 9110, section 10.2.3). It
// returns 0 if the header is missing or invalid, and a minute at most.
func After(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	wait := time.Duration(0)
	if seconds, err := strconv.Atoi(value); err == nil {
		wait = time.Duration(min(max(seconds, 0), 3600)) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxAfter)
}

// Transient reports whether an HTTP status may be another one the next time. Front
// servers and CDNs have statuses of their own above 504, such as Cloudflare's 520 to
// 527, and 499 for a request that was given up before it was answered. 425 asks for the
// request once more (RFC 8470).
func Transient(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusTooEarly, statusClientClosed:
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported, http.StatusInsufficientStorage, http.StatusNetworkAuthenticationRequired:
		return false
	}
	return status >= 500
}

// statusClientClosed is nginx's status for a request whose client has gone. A front
// server passes it on if the client was another one.
const statusClientClosed = 499
