package digest

import (
	"strings"
	"testing"
)

func TestValid(t *testing.T) {
	hex64 := strings.Repeat("0123456789abcdef", 4)
	for _, c := range []struct {
		name, in string
		want     bool
	}{
		{"sha256", "sha256:" + hex64, true},
		{"empty", "", false},
		{"no digits", "sha256:", false},
		{"no algorithm", hex64, false},
		{"63 digits", "sha256:" + hex64[1:], false},
		{"65 digits", "sha256:" + hex64 + "0", false},
		{"upper-case digits", "sha256:" + strings.ToUpper(hex64), false},
		{"an upper-case algorithm", "SHA256:" + hex64, false},
		{"not hexadecimal", "sha256:g" + hex64[1:], false},
		{"sha512", "sha512:" + hex64 + hex64, false},
		{"sha512 with the length of sha256", "sha512:" + hex64, false},
		{"sha256 twice", "sha256:sha256:" + hex64[7:], false},
		{"a path of the right length", "sha256:" + ("../../" + hex64)[:64], false},
		{"a slash at the end", "sha256:" + hex64[1:] + "/", false},
		{"a query", "sha256:" + hex64[2:] + "?n", false},
		{"NUL at the end", "sha256:" + hex64[1:] + "\x00", false},
		{"NUL behind the end", "sha256:" + hex64 + "\x00", false},
		{"NUL inside", "sha256:" + hex64[:32] + "\x00" + hex64[33:], false},
		{"a newline behind the end", "sha256:" + hex64 + "\n", false},
		{"a space before", " sha256:" + hex64, false},
		{"a space in place of a digit", "sha256: " + hex64[1:], false},
		{"full-width digits", "sha256:" + strings.Repeat("\uff10", 64), false},
		{"64 bytes of full-width digits", "sha256:" + hex64[:61] + "\uff10", false},
		{"invalid UTF-8", "sha256:" + hex64[1:] + "\xff", false},
		{"escaped dots", "sha256:" + ("%2e%2e%2f" + hex64)[:64], false},
	} {
		if got := Valid(c.in); got != c.want {
			t.Errorf("%s: Valid(%q) = %v, want %v", c.name, c.in, got, c.want)
		}
	}
}

func TestDigestOfNothing(t *testing.T) {
	if got := Of(nil); got != Empty || !Valid(got) {
		t.Errorf("Of(nil) = %s, want %s", got, Empty)
	}
	if got := NewHash().Digest(); got != Empty {
		t.Errorf("an unused Hash has the digest %s, want %s", got, Empty)
	}
}

func TestHashAgreesWithOf(t *testing.T) {
	h := NewHash()
	_, _ = h.Write([]byte("one "))
	_, _ = h.Write([]byte("two"))
	if got, want := h.Digest(), Of([]byte("one two")); got != want {
		t.Errorf("written in parts: %s, want %s", got, want)
	}
	if got, want := h.Digest(), Of([]byte("one two")); got != want {
		t.Errorf("asked again: %s, want %s", got, want)
	}
}

func FuzzValid(f *testing.F) {
	f.Add("sha256:../../" + strings.Repeat("0", 58))
	f.Add(Of(nil))
	f.Fuzz(func(t *testing.T, s string) {
		if sum, ok := Parse(s); ok && string(Append(nil, sum)) != s {
			t.Errorf("Parse(%q) = %x, which is another digest", s, sum)
		}
		if Valid(s) && (len(s) != 71 || strings.ContainsAny(s, "/.%?#\x00 ") || s != strings.ToLower(s)) {
			t.Errorf("Valid(%q) is true", s)
		}
	})
}
