package auth

import (
	"net/http"
	"testing"
)

func TestParseChallenge(t *testing.T) {
	for _, c := range []struct {
		name   string
		values []string
		want   Challenge
		ok     bool
	}{
		{"none", nil, Challenge{}, false},
		{"bearer", []string{`Bearer realm="https://auth.example/token",service="registry",scope="repository:a:pull"`},
			Challenge{"bearer", "https://auth.example/token", "registry"}, true},
		{"bearer without quotes", []string{`bearer realm=https://a/t,service=s`}, Challenge{"bearer", "https://a/t", "s"}, true},
		{"a comma in a value", []string{`Bearer scope="repository:a:pull,push",realm="https://a/t"`}, Challenge{"bearer", "https://a/t", ""}, true},
		{"escapes", []string{`Bearer realm="https://a/\"t",service="s\\"`}, Challenge{"bearer", `https://a/"t`, `s\`}, true},
		{"basic", []string{`Basic realm="x"`}, Challenge{scheme: "basic"}, true},
		{"bearer goes before basic", []string{`Basic realm="x"`, `Bearer realm="https://a/t"`}, Challenge{"bearer", "https://a/t", ""}, true},
		{"bearer without a realm", []string{`Bearer service="s"`}, Challenge{}, false},
		{"another scheme", []string{`Negotiate abc`}, Challenge{}, false},
		{"cut in a value", []string{`Bearer realm="https://a/t`}, Challenge{"bearer", "https://a/t", ""}, true},
		{"no sense", []string{`=,=,"`}, Challenge{}, false},
	} {
		got, ok := ParseChallenge(http.Header{"Www-Authenticate": c.values})
		if got != c.want || ok != c.ok {
			t.Errorf("%s: ParseChallenge(%q) = %+v, %v; want %+v, %v", c.name, c.values, got, ok, c.want, c.ok)
		}
	}
}

func FuzzParseChallenge(f *testing.F) {
	f.Add(`Bearer realm="https://auth.example/token",service="registry"`)
	f.Add(`Bearer realm="\`)
	f.Fuzz(func(t *testing.T, value string) {
		if c, ok := ParseChallenge(http.Header{"Www-Authenticate": {value}}); ok && c.scheme == "" {
			t.Errorf("%q is a challenge without a scheme", value)
		}
	})
}
