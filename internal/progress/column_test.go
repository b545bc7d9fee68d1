package progress

import "testing"

func TestColumnIsAsWideAsAsked(t *testing.T) {
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
			if got := fitColumn(tc.text, tc.width); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
