package auth

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// announced returns the scopes of the tokens that were announced, in their order.
func (a *Authorizer) announced(push bool) (scopes [][]string) {
	for _, t := range a.wanted[push] {
		scopes = append(scopes, t.scopes)
	}
	return scopes
}

func names(format string, n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf(format, i))
	}
	return all
}

// The bounds are on what a token service answers: a token that states all scopes.
func TestTokensAreBounded(t *testing.T) {
	long := strings.Repeat("x", 60)
	for _, c := range []struct {
		name         string
		repositories []string
		mountFrom    []string // of the first
		tokens       int
	}{
		{"twenty with short names", names("org/image-%d", 20), nil, 1},
		{"one more", names("org/image-%d", 21), nil, 2},
		{"twenty that are mounted from", names("openshift-release/image-%02d", 20), names("openshift-release/image-%02d", 20)[1:3], 1},
		{"long names", names(long+"/%02d", 20), nil, 2},
		{"the longest names", names(strings.Repeat(long+"/", 4)+"%02d", 8), nil, 2},
		{"one that mounts from many", []string{"org/all"}, names("openshift-project/team-%03d-component", 120), 6},
		{"one that mounts from the longest", []string{"org/all"}, names(strings.Repeat(long+"/", 4)+"%02d", 10), 2},
		{"mounts from itself and from one twice", []string{"org/all"}, []string{"org/all", "org/a", "org/a"}, 1},
	} {
		a := newAuthorizer(t, "https://auth.example.com/token")
		for i, repository := range c.repositories {
			var from []string
			if i == 0 {
				from = c.mountFrom
			}
			a.Announce(t.Context(), Access{Repository: repository, Push: true}, from)
			a.Announce(t.Context(), Access{Repository: repository, Push: true}, from) // has all that it needs
		}
		got := a.announced(true)
		if len(got) != c.tokens {
			t.Errorf("%s: %d tokens, want %d", c.name, len(got), c.tokens)
		}
		for _, scopes := range got {
			if n := len(stating(t, scopes)); n > 3300 {
				t.Errorf("%s: a token has %d bytes", c.name, n)
			}
			if n := len(url.Values{"scope": scopes}.Encode()); n > 6000 {
				t.Errorf("%s: the request for a token has %d bytes", c.name, n)
			}
		}
		for _, from := range c.mountFrom {
			want := Access{Repository: c.repositories[0], Push: true, MountFrom: from}
			if token := a.tokenFor(want, a.Challenge(), shared); from != want.Repository && !slices.ContainsFunc(got, func(s []string) bool { return slices.Equal(s, token.scopes) }) {
				t.Errorf("%s: to mount from %s takes another token", c.name, from)
			}
		}
	}
}

// stating returns a token that states its scopes, as distribution's specification has it.
func stating(t *testing.T, scopes []string) string {
	t.Helper()
	var access []map[string]any
	for _, s := range scopes {
		typ, name, actions := cutScope(s)
		access = append(access, map[string]any{"type": typ, "name": name, "actions": actions})
	}
	claims, err := json.Marshal(map[string]any{"iss": "auth.example.com", "sub": "ci", "aud": "registry.example.com", "exp": 1900000000, "access": access})
	if err != nil {
		t.Fatal(err)
	}
	return jwt(string(claims)) + strings.Repeat("s", 342)
}

// A repository that fills tokens of its own leaves the open one to others.
func TestARepositoryWithManyMountsDisplacesNoOther(t *testing.T) {
	a := newAuthorizer(t, "https://auth.example.com/token")
	a.Announce(t.Context(), Access{Repository: "org/a", Push: true}, nil)
	a.Announce(t.Context(), Access{Repository: "org/all", Push: true}, names("openshift-project/team-%03d-component", 50))
	a.Announce(t.Context(), Access{Repository: "org/b", Push: true}, nil)
	if first := a.announced(true)[0]; !slices.Contains(first, "repository:org/b:pull,push") {
		t.Errorf("the first token has %q, want org/b too", first)
	}
}

func TestCutScope(t *testing.T) {
	for _, c := range []struct {
		scope, typ, name string
		actions          string
	}{
		{"repository:a/b:pull,push", "repository", "a/b", "[pull push]"},
		{"repository:host:5000/a:pull", "repository", "host:5000/a", "[pull]"},
		{"registry:catalog:*", "registry", "catalog", "[*]"},
		{"repository:a", "repository", "", "[a]"},
		{"aws", "aws", "", "[]"},
		{"", "", "", "[]"},
	} {
		typ, name, actions := cutScope(c.scope)
		if typ != c.typ || name != c.name || fmt.Sprint(actions) != c.actions {
			t.Errorf("cutScope(%q) = %q, %q, %q", c.scope, typ, name, actions)
		}
	}
}
