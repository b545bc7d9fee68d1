package foreign

import (
	"regexp"
	"strings"
	"testing"
)

// FuzzWhole: an expression for a whole tag matches what the given one matches anywhere in the tag.
func FuzzWhole(f *testing.F) {
	for _, e := range []string{`^v1\.`, `a|b$`, `^*`, `\$`, `\\$`, `[|]$`, `(a|b)`, `(?i)^A$`, `^^a$$`, `a\z`, `$a`, ``, `(^a)`, `^[$]`} {
		for _, tag := range []string{"v1.2", "a", "ba", "abc", "A-1", ""} {
			f.Add(e, tag)
		}
	}
	f.Fuzz(func(t *testing.T, expression, tag string) {
		given, err := regexp.Compile(expression)
		if err != nil || strings.ContainsAny(expression+tag, "\n") || strings.Contains(expression, `\Q`) || len(expression) > maxExpression {
			return
		}
		got, err := whole(expression)
		if err != nil {
			t.Fatal(err)
		}
		all, err := regexp.Compile(`\A(?:` + got + `)\z`)
		if err != nil {
			t.Fatal(err)
		}
		if given.MatchString(tag) != all.MatchString(tag) {
			t.Errorf("%q matches %q: %t; %q: %t", expression, tag, given.MatchString(tag), got, all.MatchString(tag))
		}
	})
}
