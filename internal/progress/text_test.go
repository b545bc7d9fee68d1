package progress

import (
	"testing"
	"time"
)

func TestColumn(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		width      int
		want       string
	}{
		{"short", "quay.io/a", 12, "quay.io/a   "},
		{"fits", "quay.io/a", 9, "quay.io/a"},
		{"long", "quay.io/org/image", 10, "quay…image"},
		{"one wide", "quay.io/org/image", 1, "…"},
		{"wide characters and controls", "日\x1b[2J\u202e\xff", 8, "??[2J?? "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := column(tc.text, tc.width); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", -5: "-5 B", 1023: "1023 B", 1024: "1.0 KiB", 5 << 20: "5.0 MiB", 3 << 29: "1.5 GiB", 1 << 62: "4194304.0 TiB",
	} {
		if got := size(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}

func TestRound(t *testing.T) {
	for d, want := range map[time.Duration]string{
		1234567 * time.Nanosecond:   "1ms",
		12345678 * time.Microsecond: "12.3s",
		4000006 * time.Millisecond:  "1h6m40s",
	} {
		if got := round(d).String(); got != want {
			t.Errorf("%d is %s, want %s", d, got, want)
		}
	}
}
