package auth

import (
	"encoding/base64"
	"strings"
	"testing"
)

func jwt(claims string) string {
	return "h." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".s"
}

// Tokens come from outside. One that cannot be understood must never refuse a push.
func TestOnlyAReadableTokenDeniesPush(t *testing.T) {
	one := []string{"repository:a/b:pull,push"}
	two := append(one, "repository:a/c:pull,push")
	entry := func(name, actions string) string {
		return `{"access":[{"type":"repository","name":"` + name + `","actions":[` + actions + `]}]}`
	}
	for _, c := range []struct {
		name, token string
		scopes      []string
		want        pushGrant
	}{
		{"opaque", "0123456789abcdef", one, grantHidden},
		{"no base64", "a.!.c", one, grantHidden},
		{"no JSON", jwt("access"), one, grantHidden},
		{"of five parts", "a." + jwt(`{"access":[]}`) + ".e", one, grantHidden},
		{"no access", jwt(`{"sub":"system:serviceaccount:ns:sa"}`), one, grantHidden},
		{"access that is null", jwt(`{"access":null}`), one, grantHidden},
		{"access of another kind", jwt(`{"access":{"a/b":"push"}}`), one, grantHidden},
		{"names of its own", jwt(entry("project/a/b", `"pull"`)), one, grantHidden},
		{"long", jwt(`{"access":[` + strings.Repeat(" ", maxReadable) + `]}`), one, grantHidden},
		{"deep", jwt(`{"access":` + strings.Repeat("[", 20000)), one, grantHidden},
		{"push", jwt(entry("a/b", `"pull","push"`)), one, pushGranted},
		{"everything", jwt(entry("a/b", `"*"`)), one, pushGranted},
		{"twice", jwt(`{"access":[{"type":"repository","name":"a/b","actions":["pull"]},{"type":"repository","name":"a/b","actions":["push"]}]}`), one, pushGranted},
		{"pull alone", jwt(entry("a/b", `"pull"`)), one, pushDenied},
		{"no action", jwt(entry("a/b", ``)), one, pushDenied},
		{"nothing", jwt(`{"access":[]}`), one, pushDenied},
		{"another type", jwt(`{"access":[{"type":"registry","name":"catalog","actions":["*"]}]}`), one, pushDenied},
		{"padded", "h." + base64.URLEncoding.EncodeToString([]byte(`{"access":[]}`)) + ".s", one, pushDenied},
		{"nothing of two", jwt(`{"access":[]}`), two, grantUnclear},
		{"one of two, another", jwt(entry("a/c", `"pull","push"`)), two, grantUnclear},
		{"both of two, one without", jwt(`{"access":[{"type":"repository","name":"a/b","actions":["pull"]},{"type":"repository","name":"a/c","actions":["push"]}]}`), two, pushDenied},
	} {
		if got := grantOf(c.token, c.scopes, "a/b"); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}
