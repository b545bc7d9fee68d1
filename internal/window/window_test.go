package window

import (
	"strings"
	"testing"
	"time"
)

func TestWindows(t *testing.T) {
	for _, c := range []struct {
		window, at string
		in         bool
		next       string // if it is not in
	}{
		{"22:00-06:00 Europe/Prague", "2026-11-29T20:59:59Z", false, "2026-11-29T21:00:00Z"},
		{"22:00-06:00 Europe/Prague", "2026-11-29T21:00:00Z", true, ""},
		{"22:00-06:00 Europe/Prague", "2026-11-29T04:59:59Z", true, ""},
		{"22:00-06:00 Europe/Prague", "2026-11-29T05:00:00Z", false, "2026-11-29T21:00:00Z"},
		{"22:00-06:00 Europe/Prague", "2026-07-01T20:00:00Z", true, ""}, // summer
		{"22:00-06:00 Europe/Prague", "2026-07-01T19:59:00Z", false, "2026-07-01T20:00:00Z"},
		{"09:00-17:00", "2026-11-29T08:59:00Z", false, "2026-11-29T09:00:00Z"},
		{"09:00-17:00", "2026-11-29T17:00:00Z", false, "2026-11-30T09:00:00Z"},
		{"09:00-17:00 UTC", "2026-12-31T23:00:00Z", false, "2027-01-01T09:00:00Z"},
		{"00:00-00:01 Asia/Kolkata", "2026-11-29T18:30:30Z", true, ""},
		// 02:30 does not exist on the day on which clocks go forward.
		{"02:30-02:45 Europe/Prague", "2026-03-29T00:50:00Z", false, "2026-03-30T00:30:00Z"},
		{"02:30-04:00 Europe/Prague", "2026-03-29T00:50:00Z", false, "2026-03-29T01:00:00Z"},
		// It is there twice on the day on which they go back.
		{"02:30-02:45 Europe/Prague", "2026-10-25T00:50:00Z", false, "2026-10-25T01:30:00Z"},
		{"02:30-02:45 Australia/Lord_Howe", "2026-10-03T15:20:00Z", false, "2026-10-03T15:30:00Z"},
		// Midnight is skipped.
		{"00:00-00:30 Africa/Cairo", "2026-04-23T21:50:00Z", false, "2026-04-24T21:00:00Z"},
		{"23:59-00:00", "2026-12-31T23:58:59Z", false, "2026-12-31T23:59:00Z"},
		{"23:59-00:00", "2027-01-01T00:00:00Z", false, "2027-01-01T23:59:00Z"},
	} {
		w, err := Parse(c.window)
		if err != nil {
			t.Fatal(err)
		}
		at, _ := time.Parse(time.RFC3339, c.at)
		if in := w.Contains(at); in != c.in {
			t.Errorf("%s contains %s: %v", w, c.at, in)
		}
		if next := w.Next(at).UTC().Format(time.RFC3339); !c.in && next != c.next {
			t.Errorf("%s begins next after %s at %s, want %s", w, c.at, next, c.next)
		}
	}
	if always := (Window{}); !always.Contains(time.Now()) {
		t.Error("the zero value is not always")
	}
}

func TestRefusals(t *testing.T) {
	for text, says := range map[string]string{
		"":                       "is not a part of the day",
		"22:00":                  "is not a part of the day",
		"22-06":                  "is not a part of the day",
		"25:00-06:00":            "is not a part of the day",
		"22:60-23:00 UTC":        "is not a part of the day",
		"nightly":                "is not a part of the day",
		"06:00-06:00 UTC":        "begins and ends at one time",
		"22:00-06:00 Mars/Base":  "is not a time zone",
		"22:00-06:00 Local":      "is not a time zone",
		"22:00-06:00 ../../etc":  "is not a time zone",
		"22:00-06:00 UTC\x1b[2J": "is not a time zone",
		"22:00-06:00 " + strings.Repeat("x", 200): "is not a part of the day",
	} {
		if w, err := Parse(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q is read as %v, %v; want an error with %q", text, w, err, says)
		}
	}
}

// Whatever the window, it contains the time at which it begins next.
func FuzzWindow(f *testing.F) {
	f.Add("22:00-06:00 Europe/Prague", int64(1_790_000_000))
	f.Add("02:30-02:45 Europe/Prague", int64(1_774_745_400))
	f.Fuzz(func(t *testing.T, text string, at int64) {
		w, err := Parse(text)
		if err != nil || at < 0 || at > 1<<33 {
			return
		}
		now := time.Unix(at, 0)
		next := w.Next(now)
		if next.Before(now) || next.Sub(now) > 49*time.Hour || !w.Contains(next) {
			t.Fatalf("%s begins next after %s at %s", w, now.UTC(), next.UTC())
		}
	})
}
