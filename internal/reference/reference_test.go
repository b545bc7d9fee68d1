package reference

import (
	"strings"
	"testing"
)

const hash = "sha256:0561bce5bdc5fd79af0e51c4f161ed7ab76aca4674e5f906555ff4c676b83e60"

func TestParse(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"quay.io/org/image", "quay.io/org/image"},
		{"quay.io/org/image:v1", "quay.io/org/image:v1"},
		{"quay.io/org/image@" + hash, "quay.io/org/image@" + hash},
		{"quay.io/org/image:v1@" + hash, "quay.io/org/image:v1@" + hash},
		{"localhost:5000/image:v1", "localhost:5000/image:v1"},
		{"127.0.0.1:5000/a/b/c/d:v1", "127.0.0.1:5000/a/b/c/d:v1"},
		{"[::1]:5000/a:v1", "[::1]:5000/a:v1"},
		{"docker.io/library/busybox:1", "docker.io/library/busybox:1"},
		{"index.docker.io/library/busybox:1", "docker.io/library/busybox:1"},
		{"busybox:1", "docker.io/library/busybox:1"},
		{"org/image:1", "docker.io/org/image:1"},
		{"Quay.IO/org/image:V1", "quay.io/org/image:V1"},
	} {
		got, err := Parse(c.in)
		if err != nil {
			t.Errorf("Parse(%q): %v", c.in, err)
		} else if got.String() != c.want {
			t.Errorf("Parse(%q) = %s, want %s", c.in, got, c.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ in, message string }{
		{"", "not an image name"},
		{"quay.io/Org/image:v1", "lower case"},
		{"quay.io/org/image:", "ends in a colon"},
		{"Org/image:v1", "lower case"},
		{"quay.io/org/image::v1", "not an image name"},
		{"quay.io/org/image:v1:v2", "not an image name"},
		{"quay.io/org/image:v*", "only a source may"},
		{"quay.io/org/*:v1", "wildcard outside of a tag"},
		{"quay.io/org/image@sha256:12", "invalid digest"},
		{"quay.io/org/image:.v1", "invalid tag"},
		{"https://quay.io/org/image:v1", "not an image name"},
		{"quay.io/../../etc/passwd:v1", "not an image name"},
		{"docker://quay.io/org/image:v1", "not an image name"},
		{"quay.io:99999/org/image:v1", "invalid port"},
		{"quay.io:65536/org/image:v1", "invalid port"},
		{"quay.io:0/org/image:v1", "invalid port"},
		{"quay.io:/org/image:v1", "invalid port"},
		{"quay.io:0443/org/image:v1", "invalid port"},
		{"quay.io:+443/org/image:v1", "invalid port"},
		{"quay.io:-1/org/image:v1", "invalid port"},
		{"quay.io:https/org/image:v1", "invalid port"},
		{"quay.io:\u0664\u0664\u0663/org/image:v1", "invalid port"},
		{"quay.io:18446744073709552059/org/image@" + hash, "invalid port"}, // 443, if it overflows
		{"localhost:70000/image", "invalid port"},
		{"127.0.0.1:70000/image:v1", "invalid port"},
		{"[::1]:70000/image:v1", "invalid port"},
		{"[::1]:/image:v1", "invalid port"},
	} {
		if got, err := Parse(c.in); err == nil || !strings.Contains(err.Error(), c.message) {
			t.Errorf("Parse(%q) = %v, %v; want an error with %q", c.in, got, err, c.message)
		}
	}
}

func TestValidPort(t *testing.T) {
	for _, name := range []string{"quay.io", "quay.io/a:99999", "quay.io:1", "quay.io:65535/a", "localhost:5000", "[::1]", "[::1]:5000", "[fe80::99999]/a", ""} {
		if !ValidPort(name) {
			t.Errorf("%q is refused", name)
		}
	}
	for _, name := range []string{"quay.io:", "quay.io:0", "quay.io:65536/a", "localhost:05000", "[::1]:0", ":99999", "::"} {
		if ValidPort(name) {
			t.Errorf("%q is accepted", name)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern string
		yes, no []string
	}{
		{"v1", []string{"v1"}, []string{"v11", "xv1", ""}},
		{"*", []string{"v1", "latest", ""}, nil},
		{"v1.*", []string{"v1.0", "v1."}, []string{"v2.0", "xv1.0", "v10"}},
		{"*-rc*", []string{"v1-rc1", "-rc"}, []string{"v1"}},
		{"a*a", []string{"aa", "aba"}, []string{"a"}},
		{"a*b*c", []string{"abc", "axxbyyc", "abbc"}, []string{"ac", "acb"}},
	} {
		r, err := ParsePattern("quay.io/o/i:" + c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range c.yes {
			if !r.Match(s) {
				t.Errorf("%q does not match %q", c.pattern, s)
			}
		}
		for _, s := range c.no {
			if r.Match(s) {
				t.Errorf("%q matches %q", c.pattern, s)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"quay.io/org/image:v1", "a:b@" + hash, "[::1]:5/a", "x//y", ":", "@"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParsePattern(s)
		if err != nil {
			return
		}
		if again, err := ParsePattern(r.String()); err != nil || again != r {
			t.Errorf("%q is read as %s, which is read as %s, %v", s, r, again, err)
		}
	})
}
