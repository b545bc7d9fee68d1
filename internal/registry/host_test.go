package registry

import (
	"context"
	"net/url"
	"testing"

	"imagemirror/internal/credentials"
	"imagemirror/internal/reference"
)

type noKeys struct{}

func (noKeys) For(context.Context, reference.Side, string, string) (credentials.Credential, error) {
	return credentials.Credential{}, nil
}

func testHost(t *testing.T, registry string) *host {
	t.Helper()
	c, err := New(Config{Concurrency: 4, Retries: 2, Stall: 1e9}, noKeys{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Source(t.Context(), reference.Reference{Registry: registry, Repository: "a/b"})
	if err != nil {
		t.Fatal(err)
	}
	return r.endpoints[0].host
}

// Registries write their own address in several ways, and must get their credentials in
// each case.
func TestRegistryRecognizesItsOwnAddresses(t *testing.T) {
	for _, c := range []struct {
		registry, to string
		itself       bool
	}{
		{"registry.example.com", "https://registry.example.com/v2/", true},
		{"registry.example.com", "https://registry.example.com:443/v2/", true},
		{"registry.example.com", "https://Registry.Example.com/v2/", true},
		{"registry.example.com:443", "https://registry.example.com/v2/", true},
		{"registry.example.com:5000", "https://registry.example.com:5000/v2/", true},
		{"[2001:db8::1]:443", "https://[2001:DB8::1]/v2/", true},
		{"docker.io", "https://registry-1.docker.io:443/v2/", true},
		{"registry.example.com", "https://registry.example.com:5000/v2/", false},
		{"registry.example.com:5000", "https://registry.example.com/v2/", false},
		{"registry.example.com", "https://registry.example.com.evil.example/v2/", false},
		{"registry.example.com", "https://registry.example.com@evil.example/v2/", false},
	} {
		u, err := url.Parse(c.to)
		if err != nil {
			t.Fatal(err)
		}
		if got := testHost(t, c.registry).at(u); got != c.itself {
			t.Errorf("%s is %s itself: %v, want %v", c.to, c.registry, got, c.itself)
		}
	}
}

func TestProxiesMayHavePrivateAddresses(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://user:secret@10.0.0.1")
	t.Setenv("http_proxy", "10.0.0.2:3128")
	got := proxies()
	for _, want := range []string{"10.0.0.1:80", "10.0.0.2:3128"} {
		if !got[want] {
			t.Errorf("the proxies are %v, want %s among them", got, want)
		}
	}
}
