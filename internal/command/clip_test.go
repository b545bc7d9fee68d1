package command

import (
	"strings"
	"testing"
)

const maxText = 1000

func TestClip(t *testing.T) {
	for _, tc := range []struct {
		name, text, want string
	}{
		{"short", "é", "é"},
		{"many bytes, few characters", strings.Repeat("é", maxText), strings.Repeat("é", maxText)},
		{"long", strings.Repeat("é", maxText+1), strings.Repeat("é", maxText) + "…"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := Clip(tc.text, maxText); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
