package report

import (
	"math"
	"strings"
	"testing"
)

func TestSize(t *testing.T) {
	for _, c := range []struct {
		n    int64
		want string
	}{
		{0, "0 B"},
		{1023, "1023 B"},
		{1024, "1.0 KiB"},
		{1536, "1.5 KiB"},
		{1<<20 - 1, "1.0 MiB"},
		{312 << 20, "312.0 MiB"},
		{1<<30 - 1<<24, "1008.0 MiB"},
		{math.MaxInt64, "8.0 EiB"},
	} {
		if got := size(c.n); got != c.want {
			t.Errorf("size(%d) = %q, want %q", c.n, got, c.want)
		}
	}
}

func TestTook(t *testing.T) {
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
		if got := took(c.seconds); got != c.want {
			t.Errorf("took(%v) = %q, want %q", c.seconds, got, c.want)
		}
	}
}

func TestShort(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"sha256:0561bce5bdc5fd79af0e51c4f161ed7ab76aca4674e5f906555ff4c676b83e60", "0561bce5bdc5"},
		{"sha256:ab", "ab"},
		{"", ""},
		{"画像画像画像画像画像画像画像", "画像画像画像画像画像画像"},
	} {
		if got := short(c.in); got != c.want {
			t.Errorf("short(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestBefore(t *testing.T) {
	for _, c := range []struct {
		in   Result
		want string
	}{
		{Result{Destination: "quay.io/org/image:v1", Old: "sha256:0561bce5bdc5fd79"}, "0561bce5bdc5"},
		{Result{Destination: "quay.io/org/image:v1"}, "new tag"},
		{Result{Destination: "localhost:5000/image"}, "no tag"},
		{Result{Destination: "no name at all"}, "new tag"},
	} {
		if got := c.in.before(); got != c.want {
			t.Errorf("%+v: before is %q, want %q", c.in, got, c.want)
		}
	}
}

func TestText(t *testing.T) {
	for _, c := range []struct {
		name, in string
		limit    int
		want     string
	}{
		{"short", "plain", 10, "plain"},
		{"as long as may be", "plain", 5, "plain"},
		{"too long", "plainly", 5, "plain…"},
		{"characters, not bytes", "画像画像", 4, "画像画像"},
		{"an escape counts as it shows", "a\x1bbcdefg", 6, `a\x1bb…`},
		{"not UTF-8", "a\xffb", 5, "a\uFFFDb"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := text(c.in, c.limit); got != c.want {
				t.Errorf("text(%q, %d) = %q, want %q", c.in, c.limit, got, c.want)
			}
		})
	}
	if got := len(text(strings.Repeat("\x00", 1<<20), 100)); got > 110 {
		t.Errorf("a long text has %d bytes where 100 characters are the bound", got)
	}
}

func TestSum(t *testing.T) {
	if got := sum(math.MaxInt64-1, 5); got != math.MaxInt64 {
		t.Errorf("sum is %d, want the largest number", got)
	}
	if got := sum(2, 3); got != 5 {
		t.Errorf("sum is %d, want 5", got)
	}
}
