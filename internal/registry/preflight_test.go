package registry

import (
	"encoding/base64"
	"strings"
	"testing"
)

func jwt(claims string) string {
	return "h." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".s"
}

// A token is an outsider's text: what is not understood of it says nothing, and never refuses a push.
func TestVerdict(t *testing.T) {
	one := []string{"repository:a/b:pull,push"}
	two := append(one, "repository:a/c:pull,push")
	entry := func(name, actions string) string {
		return `{"access":[{"type":"repository","name":"` + name + `","actions":[` + actions + `]}]}`
	}
	for _, c := range []struct {
		name, token string
		scopes      []string
		want        say
	}{
		{"opaque", "0123456789abcdef", one, unsaid},
		{"no base64", "a.!.c", one, unsaid},
		{"no JSON", jwt("access"), one, unsaid},
		{"of five parts", "a." + jwt(`{"access":[]}`) + ".e", one, unsaid},
		{"no access", jwt(`{"sub":"system:serviceaccount:ns:sa"}`), one, unsaid},
		{"access that is null", jwt(`{"access":null}`), one, unsaid},
		{"access of another kind", jwt(`{"access":{"a/b":"push"}}`), one, unsaid},
		{"names of its own", jwt(entry("project/a/b", `"pull"`)), one, unsaid},
		{"long", jwt(`{"access":[` + strings.Repeat(" ", maxReadable) + `]}`), one, unsaid},
		{"deep", jwt(`{"access":` + strings.Repeat("[", 20000)), one, unsaid},
		{"push", jwt(entry("a/b", `"pull","push"`)), one, granted},
		{"everything", jwt(entry("a/b", `"*"`)), one, granted},
		{"twice", jwt(`{"access":[{"type":"repository","name":"a/b","actions":["pull"]},{"type":"repository","name":"a/b","actions":["push"]}]}`), one, granted},
		{"pull alone", jwt(entry("a/b", `"pull"`)), one, denied},
		{"no action", jwt(entry("a/b", ``)), one, denied},
		{"nothing", jwt(`{"access":[]}`), one, denied},
		{"another type", jwt(`{"access":[{"type":"registry","name":"catalog","actions":["*"]}]}`), one, denied},
		{"padded", "h." + base64.URLEncoding.EncodeToString([]byte(`{"access":[]}`)) + ".s", one, denied},
		{"nothing of two", jwt(`{"access":[]}`), two, unclear},
		{"one of two, another", jwt(entry("a/c", `"pull","push"`)), two, unclear},
		{"both of two, one without", jwt(`{"access":[{"type":"repository","name":"a/b","actions":["pull"]},{"type":"repository","name":"a/c","actions":["push"]}]}`), two, denied},
	} {
		if got := verdict(c.token, c.scopes, "a/b"); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}
