package text

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestPrintable(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"empty", "", ""},
		{"plain", `manifest "v1" unknown: 50% of C:\x`, `manifest "v1" unknown: 50% of C:\x`},
		{"other alphabets", "снимок 画像 🚀", "снимок 画像 🚀"},
		{"lines and tabs", "a\r\nb\tc", `a\r\nb\tc`},
		{"color", "\x1b[31mred\x1b[0m", `\x1b[31mred\x1b[0m`},
		{"eight-bit control", "\u009b31m", `\u009b31m`},
		{"writing direction", "a\u202eb\u2066c", `a\u202eb\u2066c`},
		{"no width", "quay\u200b.io\ufeff", `quay\u200b.io\ufeff`},
		{"line separator", "a\u2028b", `a\u2028b`},
		{"not UTF-8", "a\xff\xfeb", "a\uFFFDb"},
		{"NUL", "a\x00b", `a\x00b`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Printable(c.in); got != c.want {
				t.Errorf("Printable(%q) = %q, want %q", c.in, got, c.want)
			}
			if got, want := IsPrintable(c.in), c.in == c.want; got != want {
				t.Errorf("IsPrintable(%q) = %v, want %v", c.in, got, want)
			}
		})
	}
}

func TestClip(t *testing.T) {
	const limit = 1000
	for _, c := range []struct{ name, in, want string }{
		{"short", "é", "é"},
		{"many bytes, few characters", strings.Repeat("é", limit), strings.Repeat("é", limit)},
		{"long", strings.Repeat("é", limit+1), strings.Repeat("é", limit) + "…"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Clip(c.in, limit); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestLine(t *testing.T) {
	for _, c := range []struct {
		name, in string
		limit    int
		want     string
	}{
		{"short", "plain", 10, "plain"},
		{"exactly the limit", "plain", 5, "plain"},
		{"too long", "plainly", 5, "plain…"},
		{"characters, not bytes", "画像画像", 4, "画像画像"},
		{"an escape counts as it is written", "a\x1bbcdefg", 6, `a\x1bb…`},
		{"not UTF-8", "a\xffb", 5, "a\uFFFDb"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Line(c.in, c.limit); got != c.want {
				t.Errorf("Line(%q, %d) = %q, want %q", c.in, c.limit, got, c.want)
			}
		})
	}
	if got := len(Line(strings.Repeat("\x00", 1<<20), 100)); got > 110 {
		t.Errorf("a long line has %d bytes, want about 100", got)
	}
}

func TestSize(t *testing.T) {
	for _, c := range []struct {
		n    int64
		want string
	}{
		{-5, "-5 B"},
		{0, "0 B"},
		{1023, "1023 B"},
		{1024, "1.0 KiB"},
		{1536, "1.5 KiB"},
		{1<<20 - 1, "1.0 MiB"},
		{312 << 20, "312.0 MiB"},
		{1<<30 - 1<<24, "1008.0 MiB"},
		{3 << 29, "1.5 GiB"},
		{math.MaxInt64, "8.0 EiB"},
	} {
		if got := Size(c.n); got != c.want {
			t.Errorf("Size(%d) = %q, want %q", c.n, got, c.want)
		}
	}
}

func TestShortDigest(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"sha256:0561bce5bdc5fd79af0e51c4f161ed7ab76aca4674e5f906555ff4c676b83e60", "0561bce5bdc5"},
		{"sha256:ab", "ab"},
		{"", ""},
		{"画像画像画像画像画像画像画像", "画像画像画像画像画像画像"},
	} {
		if got := ShortDigest(c.in); got != c.want {
			t.Errorf("ShortDigest(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestRound(t *testing.T) {
	for d, want := range map[time.Duration]string{
		1234567 * time.Nanosecond:   "1ms",
		12345678 * time.Microsecond: "12.3s",
		59960 * time.Millisecond:    "1m0s",
		4000006 * time.Millisecond:  "1h6m40s",
	} {
		if got := Round(d).String(); got != want {
			t.Errorf("%d is %s, want %s", d, got, want)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"90m": 90 * time.Minute, "1h30m": 90 * time.Minute, "30d": 720 * time.Hour, "0d": 0, "65535d": 65535 * 24 * time.Hour,
		"d": -1, "-1d": -1, "1.5d": -1, "1d12h": -1, "65536d": -1, "1e3d": -1, "": -1, "soon": -1,
	} {
		if got, err := ParseDuration(s); (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%q is %s (%v), want %s", s, got, err, want)
		}
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                                   "0s",
		10 * time.Second:                    "10s",
		10 * time.Minute:                    "10m",
		10 * time.Hour:                      "10h",
		90 * time.Minute:                    "1h30m",
		time.Hour + 30*time.Second:          "1h0m30s",
		time.Minute + 1500*time.Microsecond: "1m0.0015s",
	} {
		if got := Duration(d); got != want {
			t.Errorf("%d is %s, want %s", d, got, want)
		}
	}
}
