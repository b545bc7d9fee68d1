package registriesconf

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/reference"
)

const digest = "@sha256:0561bce5bdc5fd79af0e51c4f161ed7ab76aca4674e5f906555ff4c676b83e60"

const everything = `
unqualified-search-registries = ["docker.io"]
short-name-mode = "disabled"
credential-helpers = ["containers-auth.json"]

[aliases]
"busybox" = "quay.io/evil/busybox"

[[registry]]
location = "plain.example.com"
insecure = true

[[registry]]
prefix = "quay.io/org"
location = "corp.example.com:5000/quay/org/"

[[registry]]
prefix = "quay.io/org/special"
location = "other.example.com/special"

[[registry]]
prefix = "docker.io/library"
location = "corp.example.com:5000/hub"

[[registry]]
prefix = "docker.io"
location = "registry-1.docker.io"

[[registry]]
prefix = "*.wild.example.com"
insecure = true

[[registry]]
prefix = "*.moved.example.com"
location = "moved.example.org/all"

[[registry]]
prefix = "mirrored.example.com"
location = "mirrored.example.com"
[[registry.mirror]]
location = "first.example.com/m"
[[registry.mirror]]
location = "second.example.com/m"
insecure = true
pull-from-mirror = "digest-only"
[[registry.mirror]]
location = "localhost:5000"
pull-from-mirror = "tag-only"

[[registry]]
prefix = "digests.example.com"
location = "digests.example.com"
mirror-by-digest-only = true
[[registry.mirror]]
location = "first.example.com/d"

[[registry]]
location = "blocked.example.com/org"
blocked = true

[[registry]]
prefix = "local.example.com"
location = "localhost:5000/l"
`

// load loads a file with this content.
func load(t *testing.T, content string) (*Config, string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "registries.conf")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	return c, path, err
}

func parse(t *testing.T, s string) reference.Reference {
	t.Helper()
	ref, err := reference.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// show returns HOST REPOSITORY for each endpoint, with ! if it is insecure.
func show(endpoints ...Endpoint) []string {
	var s []string
	for _, e := range endpoints {
		line := e.Registry + " " + e.Repository
		if e.Insecure {
			line += " !"
		}
		s = append(s, line)
	}
	return s
}

func TestEndpoints(t *testing.T) {
	conf, _, err := load(t, everything)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, ref string
		want      []string // the sources; the last is the destination
	}{
		{"nothing is said", "ghcr.io/org/image:v1", []string{"ghcr.io org/image"}},
		{"localhost", "localhost:5000/image:v1", []string{"localhost:5000 image"}},
		{"an IPv6 address", "[::1]:5000/image:v1", []string{"[::1]:5000 image"}},
		{"insecure", "plain.example.com/image:v1", []string{"plain.example.com image !"}},
		{"moved", "quay.io/org/image:v1", []string{"corp.example.com:5000 quay/org/image"}},
		{"moved by a longer prefix", "quay.io/org/special/image:v1", []string{"other.example.com special/image"}},
		{"the prefix itself", "quay.io/org/special" + digest, []string{"other.example.com special"}},
		{"no prefix within a word", "quay.io/organization/image:v1", []string{"quay.io organization/image"}},
		{"Docker Hub", "org/image:v1", []string{"registry-1.docker.io org/image"}},
		{"Docker Hub's library, and no alias", "busybox:1", []string{"corp.example.com:5000 hub/busybox"}},
		{"a wildcard", "a.b.wild.example.com/image:v1", []string{"a.b.wild.example.com image !"}},
		{"a wildcard with a port", "a.wild.example.com:5000/image:v1", []string{"a.wild.example.com:5000 image !"}},
		{"no wildcard for the domain itself", "wild.example.com/image:v1", []string{"wild.example.com image"}},
		{"no wildcard within a name", "a.wild.example.com.example.org/image:v1", []string{"a.wild.example.com.example.org image"}},
		{"a wildcard that moves", "a.moved.example.com/org/image:v1", []string{"moved.example.org all/org/image"}},
		{"mirrors for a tag", "mirrored.example.com/image:v1", []string{"first.example.com m/image", "localhost:5000 image", "mirrored.example.com image"}},
		{"mirrors for a digest", "mirrored.example.com/image" + digest, []string{"first.example.com m/image", "second.example.com m/image !", "mirrored.example.com image"}},
		{"mirrors for both", "mirrored.example.com/image:v1" + digest, []string{"first.example.com m/image", "second.example.com m/image !", "mirrored.example.com image"}},
		{"mirrors for digests, and a tag", "digests.example.com/image:v1", []string{"digests.example.com image"}},
		{"mirrors for digests, and a digest", "digests.example.com/image" + digest, []string{"first.example.com d/image", "digests.example.com image"}},
		{"moved to localhost", "local.example.com/image:v1", []string{"localhost:5000 l/image"}},
	} {
		for range 2 { // the second time from what the first one kept
			sources, err := conf.Sources(parse(t, c.ref))
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			if diff := cmp.Diff(c.want, show(sources...)); diff != "" {
				t.Errorf("%s: sources (-want +got):\n%s", c.name, diff)
			}
			destination, err := conf.Destination(parse(t, c.ref))
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			if diff := cmp.Diff(c.want[len(c.want)-1:], show(destination)); diff != "" {
				t.Errorf("%s: destination (-want +got):\n%s", c.name, diff)
			}
		}
	}
}

func TestNoFile(t *testing.T) {
	conf, err := Load("")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ ref, want string }{
		{"quay.io/org/image:v1", "quay.io org/image"},
		{"localhost:5000/image:v1", "localhost:5000 image"},
	} {
		sources, err := conf.Sources(parse(t, c.ref))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{c.want}, show(sources...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.ref, diff)
		}
	}
}

func TestBlocked(t *testing.T) {
	conf, path, err := load(t, everything)
	if err != nil {
		t.Fatal(err)
	}
	ref := parse(t, "blocked.example.com/org/image:v1")
	_, read := conf.Sources(ref)
	_, write := conf.Destination(ref)
	for _, err := range []error{read, write} {
		for _, want := range []string{"blocked.example.com/org/image", path, `"blocked.example.com/org"`} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want an error that names %s", err, want)
			}
		}
	}
}

func TestRewriteToAnInvalidNameIsRefused(t *testing.T) {
	conf, path, err := load(t, "[[registry]]\nprefix = \"a.example.com/hub\"\nlocation = \"docker.io\"")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conf.Sources(parse(t, "a.example.com/hub/busybox:1")); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want an error that names the file: Docker Hub has no repository at the top", err)
	}
}

func TestBadFileIsRefused(t *testing.T) {
	registry := "[[registry]]\nlocation = \"quay.io\"\n"
	for _, c := range []struct{ name, content, message string }{
		{"not TOML", "Ceci n'est pas TOML", "line 1"},
		{"binary", "\x00\x01\x02", "toml"},
		{"version 1", "[registries.insecure]\nregistries = ['localhost:5000']", "version 1 of the format"},
		{"unknown key", registry + "mirrors = []\ninsecur = true", `unknown key "registry.mirrors", "registry.insecur"`},
		{"unknown key of a mirror", registry + "[[registry.mirror]]\nlocation = 'a.example.com'\nblocked = true", `unknown key "registry.mirror.blocked"`},
		{"unknown table", "[[registrys]]\nlocation = 'quay.io'", `unknown key "registrys"`},
		{"wrong type", registry + "insecure = 'yes'", "insecure"},
		{"neither prefix nor location", "[[registry]]\ninsecure = true", "both location and prefix are unset"},
		{"a prefix without location", "[[registry]]\nprefix = 'quay.io'", "location is unset"},
		{"a scheme", "[[registry]]\nlocation = 'https://quay.io'", "schemes are not supported"},
		{"a wildcard in the middle", "[[registry]]\nprefix = 'a.*.example.com'\nlocation = 'quay.io'", `invalid prefix "a.*.example.com"`},
		{"a wildcard with a path", "[[registry]]\nprefix = '*.example.com/org'\nlocation = 'quay.io'", "Wildcarded prefix"},
		{"a prefix with a tag", "[[registry]]\nprefix = 'quay.io/org/image:v1'\nlocation = 'quay.io'", `invalid prefix "quay.io/org/image:v1"`},
		{"another name of Docker Hub", "[[registry]]\nprefix = 'index.docker.io'\nlocation = 'quay.io'", "the host of Docker Hub is docker.io"},
		{"no host", "[[registry]]\nprefix = 'quay.io'\nlocation = 'mirror'", `invalid location "mirror" of the prefix "quay.io"`},
		{"upper case", "[[registry]]\nprefix = 'Quay.io'\nlocation = 'quay.io'", "in lower case"},
		{"a mirror's location", registry + "[[registry.mirror]]\nlocation = 'a.example.com/Up'", `invalid location "a.example.com/Up"`},
		{"a prefix's port", "[[registry]]\nprefix = 'quay.io:0/org'\nlocation = 'quay.io'", `the prefix "quay.io:0/org" has an invalid port: write a number from 1 to 65535, or remove the colon`},
		{"a wildcard's port", "[[registry]]\nprefix = '*.example.com:0'\nlocation = 'quay.io'", "Wildcarded prefix"},
		{"a location's port", "[[registry]]\nlocation = 'quay.io:65536'", `"quay.io:65536" has an invalid port`},
		{"a mirror's port", registry + "[[registry.mirror]]\nlocation = 'a.example.com:99999/up'", `the location "a.example.com:99999/up" of the prefix "quay.io" has an invalid port`},
		{"a prefix twice", registry + registry, `duplicate prefix "quay.io"`},
		{"pull-from-mirror", registry + "[[registry.mirror]]\nlocation = 'a.example.com'\npull-from-mirror = 'never'", `"never"`},
		{"namespace-proxy", registry + "[[registry.mirror]]\nlocation = 'a.example.com'\nnamespace-proxy = 'quay.io'", "namespace-proxy is not supported"},
		{"credential-helpers", "credential-helpers = ['pass']", "credential-helpers is not supported"},
		{"too large", strings.Repeat("#", maxFile+1), "exceeds"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, path, err := load(t, c.content)
			if err == nil || !strings.Contains(err.Error(), c.message) {
				t.Fatalf("got %v, want an error with %q", err, c.message)
			}
			if strings.Count(err.Error(), path) != 1 || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %q, want one line that names the file once", err)
			}
		})
	}
}

func TestUnreadable(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ path, message string }{
		{filepath.Join(dir, "absent"), "no such file"},
		{dir, "not a regular file"},
	} {
		_, err := Load(c.path)
		if err == nil || !strings.Contains(err.Error(), c.message) || strings.Count(err.Error(), c.path) != 1 {
			t.Errorf("got %v, want an error with %q and names %q once", err, c.message, c.path)
		}
	}
}

func TestOnlyTheNamedFileIsRead(t *testing.T) {
	dir := t.TempDir()
	drop := "[[registry]]\nprefix = \"quay.io\"\nlocation = \"evil.example.com\"\n"
	for _, path := range []string{"containers/registries.conf", "containers/registries.conf.d/1.conf", ".config/containers/registries.conf.d/1.conf", "override.conf"} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(drop), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, config := range []string{dir, filepath.Join(dir, ".config")} {
		t.Setenv("XDG_CONFIG_HOME", config)
		t.Setenv("HOME", dir)
		t.Setenv("CONTAINERS_REGISTRIES_CONF", filepath.Join(dir, "override.conf"))
		t.Setenv("CONTAINERS_REGISTRIES_CONF_OVERRIDE", filepath.Join(dir, "override.conf"))
		for _, content := range []string{"", "[[registry]]\nlocation = \"example.com\"\n"} {
			conf, _, err := load(t, content)
			if err != nil {
				t.Fatal(err)
			}
			got, err := conf.Destination(parse(t, "quay.io/org/image:v1"))
			if want := (Endpoint{Registry: "quay.io", Repository: "org/image"}); err != nil || got != want {
				t.Errorf("got %v, %v, want %v", got, err, want)
			}
		}
	}
	if _, err := os.Stat(noDropIns); err == nil {
		t.Errorf("%s exists", noDropIns)
	}
}

func TestConcurrent(t *testing.T) {
	conf, _, err := load(t, everything)
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for i := range 100 {
				ref := reference.Reference{Registry: "mirrored.example.com", Repository: fmt.Sprintf("image%d", i), Tag: "v1"}
				if got, err := conf.Sources(ref); err != nil || len(got) != 3 {
					t.Errorf("got %v, %v, want 3 sources", got, err)
				}
			}
		})
	}
	wait.Wait()
}

func TestLocalhost(t *testing.T) {
	for _, c := range []struct {
		registry string
		want     bool
	}{
		{"localhost", true},
		{"localhost:5000", true},
		{"LOCALHOST:5000", true},
		{"registry.localhost:5000", true},
		{"127.0.0.1:5000", true},
		{"127.8.9.10", true},
		{"[::1]:5000", true},
		{"[::1]", true},
		{"::1", true},
		{"[::ffff:127.0.0.1]:5000", true},
		{"quay.io", false},
		{"notlocalhost:5000", false},
		{"localhost.example.com", false},
		{"127.0.0.1.example.com", false},
		{"128.0.0.1:5000", false},
		{"[::2]:5000", false},
		{"10.0.0.1:5000", false},
		{"", false},
	} {
		if got := Localhost(c.registry); got != c.want {
			t.Errorf("Localhost(%q) = %t, want %t", c.registry, got, c.want)
		}
	}
}

func BenchmarkSources(b *testing.B) {
	path := filepath.Join(b.TempDir(), "registries.conf")
	if err := os.WriteFile(path, []byte(everything), 0o600); err != nil {
		b.Fatal(err)
	}
	conf, err := Load(path)
	if err != nil {
		b.Fatal(err)
	}
	for _, ref := range []reference.Reference{
		{Registry: "mirrored.example.com", Repository: "org/image", Tag: "v1"},
		{Registry: "ghcr.io", Repository: "org/image", Tag: "v1"},
	} {
		b.Run(ref.Registry, func(b *testing.B) {
			for b.Loop() {
				if _, err := conf.Sources(ref); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
