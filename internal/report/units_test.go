package report

import (
	"math"
	"testing"
)

func TestFormatSeconds(t *testing.T) {
	for _, c := range []struct {
		seconds float64
		want    string
	}{
		{0, ""},
		{0.0123, "12ms"},
		{2.345, "2.3s"},
		{59.96, "1m0s"},
		{83.2, "1m23s"},
		{3723, "1h2m3s"},
		{1e300, "277777h46m40s"},
	} {
		if got := formatSeconds(c.seconds); got != c.want {
			t.Errorf("formatSeconds(%v) = %q, want %q", c.seconds, got, c.want)
		}
	}
}

func TestOldImage(t *testing.T) {
	for _, c := range []struct {
		in   Result
		want string
	}{
		{Result{Destination: "quay.io/org/image:v1", Old: "sha256:0561bce5bdc5fd79"}, "moved 0561bce5bdc5"},
		{Result{Destination: "quay.io/org/image:v1"}, "new tag"},
		{Result{Destination: "localhost:5000/image"}, "no tag"},
		{Result{Destination: "no name at all"}, "new tag"},
	} {
		if got := c.in.oldImage(); got != c.want {
			t.Errorf("%+v: oldImage is %q, want %q", c.in, got, c.want)
		}
	}
}

func TestSumDoesNotOverflow(t *testing.T) {
	if got := sum(math.MaxInt64-1, 5); got != math.MaxInt64 {
		t.Errorf("sum is %d, want the largest number", got)
	}
	if got := sum(2, 3); got != 5 {
		t.Errorf("sum is %d, want 5", got)
	}
}

func TestShownSource(t *testing.T) {
	for _, c := range []struct{ source, want string }{
		{"ci.io/a:v1", "ci.io/a:v1"},
		{"ci.io/a@sha256:9fd09dc33545f9cc19b81ebd0b98c4fd8c66ed1e34de89f4c9a81e6b26dc0d54", "ci.io/a@sha256:9fd09dc33545…"},
		{"ci.io/a@sha256:", "ci.io/a@sha256:…"},
		{"", ""},
	} {
		if got := (&Result{Source: c.source}).shownSource(); got != c.want {
			t.Errorf("%q is shown as %q, want %q", c.source, got, c.want)
		}
	}
}
