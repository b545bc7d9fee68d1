package report

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestWrap(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"short", "  a b\n", "  a b\n"},
		{"at a blank", "  aaaaaaaa bbbbbbbb\n", "  aaaaaaaa\n    bbbbbbbb\n"},
		{"a long name", "  aaaaaaaaaaaaaaaaaaaaaaaaa b\n", "  aaaaaaaaaaaaaaaaaaaaaaaaa\n    b\n"},
		{"blanks in a row", "a  b  cccccccccccccc\n", "a  b\n    cccccccccccccc\n"},
		{"wide", "ééééééééééééé é é\n", "ééééééééééééé é\n    é\n"},
		{"a word that belongs to the next", "aaa bbbbb to cccccc\n", "aaa bbbbb\n    to cccccc\n"},
		{"blanks after such a word", "aaa to  ccccccccccc\n", "aaa\n    to  ccccccccccc\n"},
		{"several lines", "aaaaaaaaaa bbbbbbbbbb\n\nc\n", "aaaaaaaaaa\n    bbbbbbbbbb\n\nc\n"},
	} {
		if got := wrap(c.in, 16); got != c.want {
			t.Errorf("%s: got\n%q, want\n%q", c.name, got, c.want)
		}
	}
}

func FuzzWrap(f *testing.F) {
	f.Add("  a b\n", 16)
	f.Fuzz(func(t *testing.T, text string, columns int) {
		if columns < leastColumns || columns > 1000 || !utf8.ValidString(text) || strings.ContainsAny(text, "\r\t\v\f\u0085\u00a0") {
			return
		}
		got := wrap(text+"\n", columns)
		if a, b := strings.Fields(got), strings.Fields(text); strings.Join(a, " ") != strings.Join(b, " ") {
			t.Errorf("%q becomes %q", text, got)
		}
		for line := range strings.Lines(got) {
			if words := strings.Fields(line); utf8.RuneCountInString(strings.TrimRight(line, "\n")) > columns && len(words) > 1 && strings.TrimLeft(line, " ")[0] != words[0][0] {
				t.Errorf("%q has a line that is too long", got)
			}
		}
	})
}
