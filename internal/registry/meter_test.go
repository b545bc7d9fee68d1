package registry

import (
	"net/http"
	"testing"
	"time"
)

func TestWhatIsLeft(t *testing.T) {
	now := time.Date(2026, time.November, 29, 20, 0, 0, 0, time.UTC)
	field := func(values ...string) http.Header { return http.Header{"Ratelimit-Remaining": values} }
	with := func(name, value string) http.Header {
		h := field("7;w=21600")
		h.Set(name, value)
		return h
	}
	for _, c := range []struct {
		header http.Header
		left   int // -1: not known
		more   time.Duration
	}{
		{field("76;w=21600"), 76, 6 * time.Hour},
		{field("76"), 76, 0},
		{field("76 ; w=21600 ; source=\"x\""), 76, 6 * time.Hour},
		// Several limits: the one that leaves least counts.
		{field("76;w=21600, 100;w=3600"), 76, 6 * time.Hour},
		{field("100;w=3600, 76;w=21600"), 76, 6 * time.Hour},
		{field("76, 5;w=60"), 5, time.Minute},
		{field("100;w=3600", "5;w=21600"), 5, 6 * time.Hour},
		{field("5;w=60, 5;w=21600"), 5, 6 * time.Hour},
		{field("many, 5"), 5, 0},
		// What is no whole number.
		{field("76.5;w=21600"), 76, 6 * time.Hour},
		{field("0.0"), 0, 0},
		{field("-3;w=21600"), 0, 6 * time.Hour},
		{field("9e99"), 1 << 31, 0},
		{field("NaN"), -1, 0},
		{field(""), -1, 0},
		{field("unlimited;w=21600"), -1, 0},
		{http.Header{}, -1, 0},
		// When there are more is a duration, or a time.
		{with("Retry-After", "120"), 7, 2 * time.Minute},
		{with("Retry-After", "Sun, 29 Nov 2026 21:00:00 GMT"), 7, time.Hour},
		{with("Retry-After", "Sun, 29 Nov 2026 19:00:00 GMT"), 7, 6 * time.Hour},
		{with("RateLimit-Reset", "90"), 7, 90 * time.Second},
		{with("RateLimit-Reset", "1795986000"), 7, time.Hour},
		{with("RateLimit-Reset", "soon"), 7, 6 * time.Hour},
		{field("7;w=99999999999"), 7, maxMore},
		{field("7;w=-5"), 7, 0},
	} {
		left, window, known := remaining(c.header)
		if more := moreIn(c.header, window, now); !known && c.left != -1 || known && left != c.left || more != c.more {
			t.Errorf("%v: %d left (known: %v), more in %s; want %d, %s", c.header, left, known, more, c.left, c.more)
		}
	}
}
