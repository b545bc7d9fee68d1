package credentials

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imagemirror/internal/reference"
)

// secretVolume is a volume with a secret, as the kubelet lays it out.
type secretVolume struct {
	t       *testing.T
	dir     string
	version int
}

func newSecret(t *testing.T, keys map[string]string) *secretVolume {
	s := &secretVolume{t: t, dir: t.TempDir()}
	s.put(keys)
	for key := range keys {
		s.must(os.Symlink(filepath.Join("..data", key), filepath.Join(s.dir, key)))
	}
	return s
}

// put replaces the content of the keys atomically.
func (s *secretVolume) put(keys map[string]string) {
	s.t.Helper()
	s.version++
	version := fmt.Sprintf("..2026_%d", s.version)
	s.must(os.Mkdir(filepath.Join(s.dir, version), 0o700))
	for key, content := range keys {
		s.must(os.WriteFile(filepath.Join(s.dir, version, key), []byte(content), 0o600))
	}
	next := filepath.Join(s.dir, "..data_tmp")
	s.must(os.Symlink(version, next))
	s.must(os.Rename(next, filepath.Join(s.dir, "..data")))
}

func (s *secretVolume) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// only returns an environment with one variable.
func only(variable, value string) func(string) string {
	return func(name string) string { return map[string]string{variable: value}[name] }
}

func TestMountedSecret(t *testing.T) {
	const wrong = ` has the keys ["auth.json"]: put the credentials under .dockerconfigjson or config.json`
	for _, c := range []struct {
		name       string
		keys       map[string]string
		push, pull string // the error message, for the secret on either side
	}{
		{"Kubernetes' own key", map[string]string{".dockerconfigjson": "{}"}, "", ""},
		{"the file's name", map[string]string{"config.json": "{}"}, "", ""},
		{"another key", map[string]string{"auth.json": "{}"}, wrong, wrong},
		{"no secret", nil, " does not exist or is empty: create it, with the registries' credentials under .dockerconfigjson or config.json", ""},
		{"no JSON", map[string]string{"config.json": "hunter2"}, "config.json\": line 1 is not JSON", "config.json\": line 1 is not JSON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSecret(t, c.keys)
			_, push := Load(only("DOCKER_CONFIG", s.dir), Options{})
			_, pull := Load(only("", ""), Options{PullConfig: s.dir})
			_, alone := LoadPull(Options{PullConfig: s.dir})
			checkError(t, "push", push, c.push)
			checkError(t, "pull", pull, c.pull)
			checkError(t, "pull alone", alone, c.pull)
		})
	}
}

// checkError fails the test unless err is one line that contains want, or is nil if want is "".
func checkError(t *testing.T, what string, err error, want string) {
	t.Helper()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n")) {
		t.Errorf("%s: got %v, want %q", what, err, want)
	}
}

// Entries of the pull secret come before others of the same length.
func TestPullSecretIsForSourcesOnly(t *testing.T) {
	push := newSecret(t, map[string]string{".dockerconfigjson": auths(map[string]string{
		"quay.io": "pusher", "quay.io/org/image": "image-pusher", "ghcr.io": "ghcr-pusher",
	})})
	pull := newSecret(t, map[string]string{"config.json": auths(map[string]string{
		"quay.io": "puller", "quay.io/org": "org-puller", "registry.example.com": "example-puller",
	})})
	file := filepath.Join(pull.dir, "config.json")
	for _, config := range []string{pull.dir, file} {
		both, err := Load(only("DOCKER_CONFIG", push.dir), Options{PullConfig: config})
		if err != nil {
			t.Fatal(err)
		}
		alone, err := LoadPull(Options{PullConfig: config})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ image, source, destination, alone string }{
			{"quay.io/a", "puller", "pusher", "puller"},
			{"quay.io/org/a", "org-puller", "pusher", "org-puller"},
			{"quay.io/org/image", "image-pusher", "image-pusher", "org-puller"},
			{"ghcr.io/a", "ghcr-pusher", "ghcr-pusher", ""},
			{"registry.example.com/a", "example-puller", "", "example-puller"},
			{"docker.io/a", "", "", ""},
		} {
			for _, got := range []struct {
				what string
				k    *Keychain
				side reference.Side
				want string
			}{
				{"source", both, reference.Source, c.source},
				{"destination", both, reference.Destination, c.destination},
				{"source, with the pull secret alone", alone, reference.Source, c.alone},
				{"destination, with the pull secret alone", alone, reference.Destination, c.alone},
			} {
				host, path, _ := strings.Cut(c.image, "/")
				credential, err := got.k.For(t.Context(), got.side, host, path)
				if err != nil || credential.Username != got.want {
					t.Errorf("%s as a %s: got %q, %v, want %q", c.image, got.what, credential.Username, err, got.want)
				}
			}
		}
	}
}

func TestUnusablePullConfigIsRefused(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{
		"":                            "",
		dir:                           "",
		filepath.Join(dir, "missing"): `MIRROR_PULL_CONFIG names "` + dir + `/missing", which does not exist: create it, or unset the variable`,
	} {
		_, err := Load(only("", ""), Options{PullConfig: path})
		checkError(t, path, err, want)
	}
}

// If the new file is broken or gone, the old credentials stay.
func TestRotatedSecretIsReloaded(t *testing.T) {
	s := newSecret(t, map[string]string{".dockerconfigjson": auths(map[string]string{"quay.io": "old"})})
	k, err := Load(only("DOCKER_CONFIG", s.dir), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ content, want string }{
		{auths(map[string]string{"quay.io": "new"}), "new"},
		{auths(map[string]string{"quay.io": "one", "quay.io/org": "two"}), "two"},
		{"hunter2", "two"},
		{auths(map[string]string{"quay.io": "new"}), "new"},
		{auths(nil), ""},
	} {
		s.put(map[string]string{".dockerconfigjson": c.content})
		if got := user(t, k, "quay.io/org/image"); got != c.want {
			t.Errorf("got the credential of %q, want %q, of %s", got, c.want, c.content)
		}
	}
	s.put(map[string]string{".dockerconfigjson": auths(map[string]string{"quay.io": "last"})})
	if got := user(t, k, "quay.io/org/image"); got != "last" {
		t.Errorf("got the credential of %q, want the last one", got)
	}
	s.must(os.RemoveAll(filepath.Join(s.dir, "..data")))
	if got := user(t, k, "quay.io/org/image"); got != "last" {
		t.Errorf("got the credential of %q where the file is gone, want the last one", got)
	}
}

// The file may be written in place, or not have existed before, as on a laptop.
func TestLoginDuringARunIsUsed(t *testing.T) {
	dir, getenv := home(t, nil)
	k, err := Load(getenv, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"first", "second, longer"} {
		path := filepath.Join(dir, ".docker", "config.json")
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(auths(map[string]string{"quay.io": name})), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := user(t, k, "quay.io/a"); got != name {
			t.Errorf("got the credential of %q, want %q", got, name)
		}
	}
}

func TestClusterRegistry(t *testing.T) {
	dir, getenv := home(t, map[string]string{
		".docker/config.json": auths(map[string]string{"registry.svc:5000/own": "own", "other.svc:5000": "other"}),
		"token":               "first\n",
	})
	token := filepath.Join(dir, "token")
	k, err := Load(getenv, Options{ClusterRegistry: "Registry.svc:5000", ClusterTokenFile: token})
	if err != nil {
		t.Fatal(err)
	}
	for image, want := range map[string]Credential{
		"registry.svc:5000/team/a": {Username: "serviceaccount", Password: "first", OnlyRegistry: true},
		"registry.svc:5000/own/a":  {Username: "own", Password: "own"},
		"other.svc:5000/a":         {Username: "other", Password: "other"},
		"registry.svc/team/a":      {}, // another registry
		"registry.svc:443/team/a":  {},
	} {
		host, path, _ := strings.Cut(image, "/")
		for _, side := range []reference.Side{reference.Source, reference.Destination} {
			if got, err := k.For(t.Context(), side, host, path); err != nil || got != want {
				t.Errorf("%s: got %q, %v, want %q", image, got.Username, err, want.Username)
			}
		}
	}
	for content, want := range map[string]string{
		"second":                                "", // the kubelet puts a new one there
		"":                                      `/token" is empty or too large`,
		strings.Repeat("long", maxClusterToken): `/token" is empty or too large`,
	} {
		if err := os.WriteFile(token, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := k.For(t.Context(), reference.Destination, "registry.svc:5000", "team/a")
		checkError(t, content[:min(9, len(content))], err, want)
		if want == "" && got.Password != content {
			t.Error("the token was not read anew")
		}
	}
	for _, registry := range []string{"https://registry.svc:5000", "registry.svc:99999", "registry.svc:0", "registry.svc:"} {
		_, err = Load(getenv, Options{ClusterRegistry: registry})
		checkError(t, registry, err, `MIRROR_CLUSTER_REGISTRY is "`+registry+`": set it to HOST or HOST:PORT`)
	}
}

func TestOriginNamesFileAndKeyOnly(t *testing.T) {
	s := newSecret(t, map[string]string{"config.json": auths(map[string]string{"quay.io/org": "hunter2"})})
	k, err := Load(only("DOCKER_CONFIG", s.dir), Options{ClusterRegistry: "registry.svc", ClusterTokenFile: "/run/token"})
	if err != nil {
		t.Fatal(err)
	}
	for image, want := range map[string]string{
		"quay.io/org/image": `the entry "quay.io/org" of "` + s.dir + `/config.json"`,
		"quay.io/image":     `no credentials: no entry matches in "` + s.dir + `/config.json"`,
		"registry.svc/a":    `the service account's token in "/run/token"`,
	} {
		host, path, _ := strings.Cut(image, "/")
		if got := k.Origin(t.Context(), reference.Destination, host, path); got != want {
			t.Errorf("%s: got %s, want %s", image, got, want)
		}
	}
}
