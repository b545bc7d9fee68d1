package auth

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// challengeOf parses the challenges of an answer to a request for a manifest.
func challengeOf(lists ...string) (Challenge, bool) {
	return ParseChallenge(&http.Response{
		Header:  http.Header{"Www-Authenticate": lists},
		Request: &http.Request{URL: &url.URL{Scheme: "https", Host: "r.example", Path: "/v2/a/manifests/v1"}},
	})
}

func TestParseChallenge(t *testing.T) {
	token := func(service string) Challenge { return Challenge{bearer, "https://a/t", service} }
	for _, c := range []struct {
		name   string
		values []string
		want   Challenge
		ok     bool
	}{
		{"none", nil, Challenge{}, false},
		{"bearer", []string{`Bearer realm="https://a/t",service="registry",scope="repository:a:pull"`}, token("registry"), true},
		{"bearer without quotes", []string{`bearer realm=https://a/t,service=s`}, token("s"), true},
		{"a service of two words without quotes", []string{`bearer realm=https://a/t,service=a b`}, token("a b"), true},
		{"a comma in a value", []string{`Bearer scope="repository:a:pull,push",realm="https://a/t"`}, token(""), true},
		{"escapes", []string{`Bearer realm="https:\//a/t",service="s\\\""`}, token(`s\"`), true},
		{"blanks everywhere", []string{"  Bearer \t realm =\t\"https://a/t\" ,, service= \"s s\" ,"}, token("s s"), true},
		{"blanks between parameters", []string{`Bearer realm="https://a/t" service="s"`}, token("s"), true},
		{"names in upper case", []string{`BEARER REALM="https://a/t",Service="S"`}, token("S"), true},
		{"an unknown parameter", []string{`Bearer error="invalid_token",x=,realm="https://a/t"`}, token(""), true},
		{"a realm with a query", []string{`Bearer scope="",realm="https://a/t?x=1&y=a,b",service="s"`}, Challenge{bearer, "https://a/t?x=1&y=a,b", "s"}, true},
		{"a realm that is a path", []string{`Bearer realm="/service/token"`}, Challenge{bearer, "https://r.example/service/token", ""}, true},
		{"a realm without a scheme", []string{`Bearer realm="//a.example/t"`}, Challenge{bearer, "https://a.example/t", ""}, true},
		{"a realm that is no address", []string{`Bearer realm="https://%zz"`}, Challenge{bearer, "https://%zz", ""}, true},
		{"basic", []string{`Basic realm="x"`}, Challenge{scheme: basic}, true},
		{"basic with an address", []string{`Basic realm=/`}, Challenge{scheme: basic}, true},
		{"basic without a realm", []string{`basic`}, Challenge{scheme: basic}, true},
		{"bearer goes before basic", []string{`Basic realm="x"`, `Bearer realm="https://a/t"`}, token(""), true},
		{"both in one header", []string{`Basic realm="x", Bearer realm="https://a/t",service="s"`}, token("s"), true},
		{"both in one header, the other way round", []string{`Bearer realm="https://a/t",service="s", Basic realm="x",service="b"`}, token("s"), true},
		{"bearer without a realm", []string{`Bearer service="s"`}, Challenge{}, false},
		{"bearer without a realm, and basic", []string{`Bearer, Basic realm="x"`}, Challenge{scheme: basic}, true},
		{"another scheme", []string{`Negotiate abc`}, Challenge{}, false},
		{"another scheme first", []string{`Negotiate, Basic realm="x"`}, Challenge{scheme: basic}, true},
		{"another scheme with a token68", []string{`Negotiate YII/a+b-_.~==, Bearer realm="https://a/t"`}, token(""), true},
		{"another scheme with parameters", []string{`Digest realm="x",nonce="a=b, Basic", Basic realm="y"`}, Challenge{scheme: basic}, true},
		{"another scheme last", []string{`Bearer realm="https://a/t", NTLM`}, token(""), true},
		{"three headers", []string{`Negotiate`, `NTLM abc=`, `Basic realm="x"`}, Challenge{scheme: basic}, true},
		{"no comma after a scheme", []string{`Negotiate Basic realm="x"`}, Challenge{scheme: basic}, true},
		{"a parameter first", []string{`realm="x", Basic realm="y"`}, Challenge{scheme: basic}, true},
		{"cut in a value", []string{`Bearer realm="https://a/t`}, token(""), true},
		{"cut in an escape", []string{`Bearer realm="https://a/t\`}, Challenge{bearer, `https://a/t\`, ""}, true},
		{"a scheme in quotes", []string{`"Bearer" realm="https://a/t"`}, Challenge{}, false},
		{"no sense", []string{`=,=,"`}, Challenge{}, false},
		{"no sense, and basic", []string{`=@, ;, Basic`}, Challenge{scheme: basic}, true},
	} {
		if got, ok := challengeOf(c.values...); got != c.want || ok != c.ok {
			t.Errorf("%s: ParseChallenge(%q) = %+v, %v; want %+v, %v", c.name, c.values, got, ok, c.want, c.ok)
		}
	}
}

func TestBlanksAroundARealm(t *testing.T) {
	if c, _ := challengeOf(`Bearer realm=" https://auth.example.com/token "`); c.realm != "https://auth.example.com/token" {
		t.Errorf("the realm is %q", c.realm)
	}
}

func FuzzParseChallenge(f *testing.F) {
	for _, seed := range []string{
		`Bearer realm="https://auth.example/token",service="registry"`, `Bearer realm="\`,
		`Negotiate YII==, Basic realm = "x" , Bearer realm=/t`, `Basic realm="x", "`, "a=,b =\t\"\\\"\",,c",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		c, ok := challengeOf(list)
		if ok != (c.scheme == basic || c.scheme == bearer) || c.HasTokens() != (c.realm != "") {
			t.Errorf("ParseChallenge(%q) = %+v, %v", list, c, ok)
		}
		for _, o := range offers([]string{list}) {
			if o.scheme == "" || o.scheme != strings.ToLower(o.scheme) {
				t.Errorf("%q has a challenge with the scheme %q", list, o.scheme)
			}
		}
		// What another header says changes nothing.
		if first, ok := challengeOf(`Bearer realm="https://a/t"`, list); !ok || first.realm != "https://a/t" {
			t.Errorf("a challenge is lost before %q: %+v", list, first)
		}
	})
}
