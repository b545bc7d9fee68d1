package text

import (
	"regexp"
	"strings"
	"testing"
)

func TestCI(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "copied 3 of 4 images\n", "copied 3 of 4 images\n"},
		{"a heading", "## heading, ### another\n", "## heading, ### another\n"},
		{"an IPv6 address", "dial tcp [fd00::ab]:443->[::1]:5000\n", "dial tcp [fd00::ab]:443->[::1]:5000\n"},
		{"GitHub's old form", "x ##[stop-commands]y", `x #\u0023[stop-commands]y`},
		{"Azure", "a ##vso[task.setvariable variable=x]b", `a #\u0023vso[task.setvariable variable=x]b`},
		{"TeamCity", "##teamcity[buildStatus text='x']", `#\u0023teamcity[buildStatus text='x']`},
		{"a command", "::error title=x::y", `:\u003aerror title=x::y`},
		{"a command on the second line", "one\n  ::add-mask::two\n", "one\n  :\\u003aadd-mask::two\n"},
		{"a command within a line", `split: "a" ::stop-commands::t`, `split: "a" :\u003astop-commands::t`},
		{"the end of stop-commands", "::0f4a::", `:\u003a0f4a::`},
		{"upper case", "x::ERROR::y", `x:\u003aERROR::y`},
	} {
		if got := CI(c.in); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
		if again := CI(CI(c.in)); again != c.want {
			t.Errorf("%s: a second time it becomes %s", c.name, again)
		}
	}
}

// readByRunner is how GitHub's runner finds commands
// (https://github.com/actions/runner/blob/main/src/Runner.Common/ActionCommand.cs).
var readByRunner = regexp.MustCompile(`(?m)^\s*::.*::|##\[.*\]`)

func FuzzCI(f *testing.F) {
	for _, s := range []string{"::error::", "##[x]", "####[[]", "::::", ":::a::::b::", "##\n[", "\t ::x y::z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := CI(s)
		if readByRunner.MatchString(got) {
			t.Errorf("CI(%q) = %q has a command", s, got)
		}
		if strings.Count(got, "\n") != strings.Count(s, "\n") {
			t.Errorf("CI(%q) = %q has another number of lines", s, got)
		}
	})
}
