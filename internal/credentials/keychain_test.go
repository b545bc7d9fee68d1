package credentials

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"imagemirror/internal/reference"
)

// nowhere does not exist, so that the tests read no file of this machine's user.
const nowhere = "/nowhere"

func TestMain(m *testing.M) {
	podmanRun = nowhere
	os.Exit(m.Run())
}

// captureLog collects what is logged during the test.
func captureLog(t *testing.T) *bytes.Buffer {
	t.Helper()
	log, before := &bytes.Buffer{}, slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(log, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return log
}

// home makes a home directory with files, by path, and returns its environment.
func home(t *testing.T, files map[string]string) (dir string, getenv func(string) string) {
	t.Helper()
	dir = t.TempDir()
	for path, content := range files {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, func(name string) string {
		if name == "HOME" {
			return dir
		}
		return ""
	}
}

// keychain loads a config.json of Docker with this content.
func keychain(t *testing.T, content string) *Keychain {
	t.Helper()
	_, getenv := home(t, map[string]string{".docker/config.json": content})
	k, err := Load(getenv, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// auths returns a file with an entry for each key. Its value is both user and password.
func auths(users map[string]string) string {
	entries := map[string]map[string]string{}
	for key, user := range users {
		entries[key] = map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(user + ":" + user))}
	}
	content, err := json.Marshal(map[string]any{"auths": entries, "HttpHeaders": map[string]string{"X": "unknown keys are fine"}})
	if err != nil {
		panic(err)
	}
	return string(content)
}

// user returns the user of the credential for a repository, such as quay.io/org/image.
func user(t *testing.T, k *Keychain, name string) string {
	t.Helper()
	registry, repository, _ := strings.Cut(name, "/")
	c, err := k.For(t.Context(), reference.Destination, registry, repository)
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	return c.Username
}

func TestLongestPrefix(t *testing.T) {
	k := keychain(t, auths(map[string]string{
		"quay.io":                     "quay",
		"quay.io/org":                 "org",
		"quay.io/org/image":           "image",
		"https://index.docker.io/v1/": "hub",
		"https://index.docker.io/v1/refresh-token": "desktop",
		"docker.io/library":                        "library",
		"https://ghcr.io":                          "ghcr",
		"registry.example.com/":                    "example",
		"http://localhost:5000/v1/":                "local",
		"https://team.example.com/a/":              "a",
		"REGISTRY.example.org":                     "upper",
	}))
	for _, c := range []struct{ image, want string }{
		{"quay.io/org/image", "image"},
		{"quay.io/org/image/deeper", "image"},
		{"quay.io/org/image2", "org"},
		{"quay.io/organization/image", "quay"},
		{"quay.io/image", "quay"},
		{"quay.io:443/org/image", ""},
		{"docker.io/library/busybox", "library"},
		{"docker.io/org/image", "hub"},
		{"registry-1.docker.io/org/image", "hub"},
		{"ghcr.io/org/image", "ghcr"},
		{"registry.example.com/image", "example"},
		{"localhost:5000/image", "local"},
		{"localhost/image", ""},
		{"team.example.com/a/image", "a"},
		{"team.example.com/b/image", ""},
		{"registry.example.org/image", "upper"},
		{"example.com/image", ""},
	} {
		if got := user(t, k, c.image); got != c.want {
			t.Errorf("%s gets the credential of %q, want %q", c.image, got, c.want)
		}
	}
}

// This holds for every kind of file and every way to write the key.
func TestAnotherTeamsEntryIsNotUsed(t *testing.T) {
	dir, getenv := home(t, map[string]string{
		".docker/config.json":           auths(map[string]string{"quay.io/red": "red", "https://quay.io/green": "green"}),
		".docker/.dockerconfigjson":     auths(map[string]string{"quay.io/yellow/image": "yellow"}),
		".config/containers/auth.json":  auths(map[string]string{"quay.io/white/": "white"}),
		"another/containers/auth.json":  auths(map[string]string{"quay.io": "not read"}),
		".docker/another/config.json":   auths(map[string]string{"quay.io": "not read"}),
		".dockercfg":                    `{"quay.io": {"auth": "bm90OnJlYWQ="}}`,
		"elsewhere/containers/auth.txt": "",
	})
	k, err := Load(getenv, Options{})
	if err != nil {
		t.Fatalf("%s: %v", dir, err)
	}
	for _, c := range []struct{ image, want string }{
		{"quay.io/red/image", "red"},
		{"quay.io/green/image", "green"},
		{"quay.io/yellow/image", "yellow"},
		{"quay.io/white/image", "white"},
		{"quay.io/blue/image", ""},
		{"quay.io/redder/image", ""},
		{"quay.io/yellow/another", ""},
		{"quay.io/image", ""},
	} {
		if got := user(t, k, c.image); got != c.want {
			t.Errorf("%s gets the credential of %q, want %q", c.image, got, c.want)
		}
	}
}

func TestFiles(t *testing.T) {
	files := map[string]string{
		".docker/config.json":          auths(map[string]string{"all": "docker", "docker": "docker"}),
		".docker/.dockerconfigjson":    auths(map[string]string{"all": "secret", "secret": "secret", "all/longer": "secret"}),
		"run/containers/auth.json":     auths(map[string]string{"all": "run", "run": "run"}),
		".config/containers/auth.json": auths(map[string]string{"all": "config", "config": "config"}),
		"xdg/containers/auth.json":     auths(map[string]string{"all": "xdg", "xdg": "xdg"}),
		"named.json":                   auths(map[string]string{"all": "named", "named": "named"}),
		"mounted/.dockerconfigjson":    auths(map[string]string{"all": "mounted", "mounted": "mounted"}),
		"empty/config.json":            " \n",
	}
	for _, c := range []struct {
		name string
		env  map[string]string // $ stands for the home directory
		want string            // users for the registries that are named like them, then the one for "all"
	}{
		{"defaults", map[string]string{"HOME": "$"}, "docker secret config / docker"},
		{"XDG_RUNTIME_DIR", map[string]string{"HOME": "$", "XDG_RUNTIME_DIR": "$/run"}, "docker secret run config / docker"},
		{"XDG_CONFIG_HOME", map[string]string{"HOME": "$", "XDG_CONFIG_HOME": "$/xdg"}, "docker secret xdg / docker"},
		{"REGISTRY_AUTH_FILE", map[string]string{"HOME": "$", "XDG_RUNTIME_DIR": "$/run", "REGISTRY_AUTH_FILE": "$/named.json"}, "docker secret named / docker"},
		{"a mounted secret", map[string]string{"HOME": "$", "DOCKER_CONFIG": "$/mounted"}, "config mounted / mounted"},
		{"no home", map[string]string{"DOCKER_CONFIG": "$/mounted"}, "mounted / mounted"},
		{"a secret that is not mounted", map[string]string{"DOCKER_CONFIG": "$/absent"}, "/ "},
		{"an empty file", map[string]string{"DOCKER_CONFIG": "$/empty", "XDG_RUNTIME_DIR": "$/run"}, "run / run"},
		{"nothing", nil, "/ "},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, _ := home(t, files)
			k, err := Load(func(name string) string { return strings.ReplaceAll(c.env[name], "$", dir) }, Options{})
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, registry := range []string{"docker", "secret", "run", "config", "xdg", "named", "mounted"} {
				if u := user(t, k, registry+"/image"); u != "" {
					got += u + " "
				}
			}
			got += "/ " + user(t, k, "all/image")
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	_, getenv := home(t, files)
	k, err := Load(getenv, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := user(t, k, "all/longer/image"); got != "secret" {
		t.Errorf("got the credential of %q, want that of the longer prefix in the second file", got)
	}
}

func TestEntries(t *testing.T) {
	for _, c := range []struct {
		name, entry string
		want        Credential
	}{
		{"auth", `{"auth": "dXNlcjpwYTpzcw=="}`, Credential{Username: "user", Password: "pa:ss"}},
		{"auth without padding", `{"auth": "dXNlcjpwYTpzcw"}`, Credential{Username: "user", Password: "pa:ss"}},
		{"auth with padding by Docker", `{"auth": "dTpwAAA="}`, Credential{Username: "u", Password: "p"}},
		{"auth before the others", `{"auth": "dTpw", "username": "x", "password": "y"}`, Credential{Username: "u", Password: "p"}},
		{"user and password", `{"username": "u", "password": "p", "email": "e"}`, Credential{Username: "u", Password: "p"}},
		{"identity token", `{"auth": "MDAwMDo=", "identitytoken": "t"}`, Credential{Username: "0000", IdentityToken: "t"}},
		{"registry token", `{"registrytoken": "t"}`, Credential{RegistryToken: "t"}},
		{"a helper's mark", `{}`, Credential{}},
	} {
		k := keychain(t, `{"auths": {"quay.io": `+c.entry+`}}`)
		if got, err := k.For(t.Context(), reference.Destination, "quay.io", "image"); err != nil || got != c.want {
			t.Errorf("%s: got another credential, or the error %v", c.name, err)
		}
	}
}

func TestNormalSpellingOfAKeyWins(t *testing.T) {
	k := keychain(t, auths(map[string]string{
		"quay.io": "normal", "https://quay.io": "https", "http://quay.io": "http",
		"https://index.docker.io/v1/": "v1", "https://index.docker.io/v2/": "v2",
	}))
	if got := user(t, k, "quay.io/image"); got != "normal" {
		t.Errorf("got the credential of %q, want that of the normal spelling", got)
	}
	if got := user(t, k, "docker.io/org/image"); got != "v1" {
		t.Errorf("got the credential of %q, want that of the first", got)
	}
}

func TestMalformed(t *testing.T) {
	for _, c := range []struct{ name, content, message string }{
		{"no JSON", "{\n  \"auths\": {hunter2}\n}", "line 2 is not JSON"},
		{"cut", `{"auths": {"quay.io": {"auth": "hunter2`, "line 1 is not JSON"},
		{"another kind of file", "hunter2 hunter2", "line 1 is not JSON"},
		{"a list", `["hunter2"]`, "line 1 has a value of the wrong type"},
		{"wrong type", "{\"auths\":\n{\"quay.io\": \"hunter2\"}}", "line 2 has a value of the wrong type"},
		{"no base64", `{"auths": {"https://quay.io": {"auth": "hunter2!"}}}`, `entry "quay.io": "auth" is not the base64`},
		{"no colon", `{"auths": {"quay.io/org": {"auth": "aHVudGVyMg=="}}}`, `entry "quay.io/org": "auth" is not the base64`},
		{"a helper with a path", `{"credHelpers": {"quay.io": "../evil"}}`, `invalid credential helper "../evil"`},
		{"a store with a path", `{"credsStore": "/bin/sh"}`, `invalid credential helper "/bin/sh"`},
		{"too large", strings.Repeat(" ", maxFile+1), "exceeds 1048576 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, getenv := home(t, map[string]string{".docker/.dockerconfigjson": c.content})
			_, err := Load(getenv, Options{})
			if err == nil || !strings.Contains(err.Error(), c.message) {
				t.Fatalf("got %v, want an error with %q", err, c.message)
			}
			if path := filepath.Join(dir, ".docker", ".dockerconfigjson"); !strings.Contains(err.Error(), path) {
				t.Errorf("%v does not name the file", err)
			}
			for _, secret := range []string{"hunter2", "aHVudGVyMg", "\n"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%v shows %q", err, secret)
				}
			}
		})
	}
}

// A guessed file that cannot be read is skipped: it may be another user's. A named one is an error.
func TestUnreadableFiles(t *testing.T) {
	log := captureLog(t)
	dir, getenv := home(t, map[string]string{
		".docker/config.json/a":        "",
		".config/containers/auth.json": auths(map[string]string{"quay.io": "podman"}),
	})
	k, err := Load(getenv, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := user(t, k, "quay.io/image"); got != "podman" {
		t.Errorf("got the credential of %q, want that of the file that can be read", got)
	}
	if !strings.Contains(log.String(), filepath.Join(dir, ".docker", "config.json")) {
		t.Errorf("the log is %s, want the name of the file that is skipped", log)
	}
	for variable, path := range map[string]string{"DOCKER_CONFIG": dir + "/.docker", "REGISTRY_AUTH_FILE": dir + "/.docker/config.json"} {
		if _, err := Load(only(variable, path), Options{}); err == nil || !strings.Contains(err.Error(), "config.json: is a directory") {
			t.Errorf("%s: got %v, want an error with the file", variable, err)
		}
	}
	_, err = Load(only("REGISTRY_AUTH_FILE", dir+"/absent"), Options{})
	if err == nil || !strings.Contains(err.Error(), `REGISTRY_AUTH_FILE names "`+dir) {
		t.Errorf("got %v, want an error that names the variable and the file", err)
	}
}

// Without XDG_RUNTIME_DIR, podman login writes to a directory of the user under /run/containers.
func TestFileOfPodmanWithoutRuntimeDirectory(t *testing.T) {
	dir, _ := home(t, map[string]string{
		strconv.Itoa(os.Getuid()) + "/auth.json": auths(map[string]string{"quay.io": "root"}),
		"run/containers/auth.json":               auths(map[string]string{"quay.io": "run"}),
	})
	podmanRun = dir
	t.Cleanup(func() { podmanRun = nowhere })
	for value, want := range map[string]string{"": "root", dir + "/run": "run"} {
		k, err := Load(only("XDG_RUNTIME_DIR", value), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := user(t, k, "quay.io/image"); got != want {
			t.Errorf("XDG_RUNTIME_DIR=%q: got the credential of %q, want that of %q", value, got, want)
		}
	}
}

// What somebody wrote without effect is named in the log, and secrets are not.
func TestEntriesWithoutEffectAreNamed(t *testing.T) {
	const entry = `{"auth": "aHVudGVyMjpodW50ZXIy"}`
	for _, c := range []struct {
		name, content string
		want          []string // of the log; none if it is empty
	}{
		{"entries that match", `{"auths": {"quay.io": ` + entry + `, "localhost:5000/a/b": ` + entry + `, "https://index.docker.io/v1/": ` + entry + `, "https://quay.io/v2": ` + entry + `}}`, nil},
		{"no entries", `{"auths": {}}`, []string{"has no entries"}},
		{"another file", `{"experimental": "enabled"}`, []string{"has no entries"}},
		{"nothing", "", []string{"has no entries"}},
		{"a legacy file", `{"quay.io": ` + entry + `}`, []string{"legacy .dockercfg"}},
		{"a legacy file with names", `{"https://quay.io": {"username": "hunter2", "password": "hunter2"}}`, []string{"legacy .dockercfg"}},
		{"legacy entries beside others", `{"auths": {"ghcr.io": ` + entry + `}, "quay.io": ` + entry + `}`, []string{"legacy .dockercfg"}},
		{"wildcards", `{"auths": {"*.quay.io": ` + entry + `, "quay.io/*": ` + entry + `}}`, []string{"entry=*.quay.io", "entry=quay.io/*"}},
		{"a tag", `{"auths": {"quay.io/org/image:v1": ` + entry + `}}`, []string{"entry=quay.io/org/image:v1"}},
		{"a version of the API", `{"auths": {"quay.io/v2": ` + entry + `}}`, []string{"entry=quay.io/v2"}},
		{"upper case", `{"credHelpers": {"quay.io/Org": "x"}}`, []string{"entry=quay.io/Org"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := captureLog(t)
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Load(only("DOCKER_CONFIG", dir), Options{}); err != nil {
				t.Fatal(err)
			}
			if len(c.want) == 0 && log.Len() > 0 {
				t.Errorf("the log is %s, want nothing", log)
			}
			for _, want := range append(c.want, dir) {
				if len(c.want) > 0 && !strings.Contains(log.String(), want) {
					t.Errorf("the log is %s, want it to contain %s", log, want)
				}
			}
			if strings.Contains(log.String(), "hunter2") || strings.Contains(log.String(), "aHVud") {
				t.Errorf("the log shows a secret: %s", log)
			}
		})
	}
}

// example is a Cloud whose registries end in .cloud.
type example struct {
	mu    sync.Mutex
	asked int
	fail  error
}

func (*example) Serves(registry string) bool { return strings.HasSuffix(registry, ".cloud") }

func (e *example) Credential(_ context.Context, registry string) (Credential, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked++
	return Credential{Username: "identity@" + registry}, e.fail
}

func TestCloud(t *testing.T) {
	_, getenv := home(t, map[string]string{".docker/config.json": auths(map[string]string{"a.cloud/org": "org"})})
	cloud := &example{}
	k, err := Load(getenv, Options{}, cloud)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ image, want string }{
		{"a.cloud/org/image", "org"},
		{"quay.io/org/image", ""},
	} {
		if got := user(t, k, c.image); got != c.want {
			t.Errorf("%s gets the credential of %q, want %q", c.image, got, c.want)
		}
	}
	if cloud.asked != 0 {
		t.Errorf("the cloud was asked %d times for what is not its", cloud.asked)
	}
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() {
			if got := user(t, k, "a.cloud/another/image"); got != "identity@a.cloud" {
				t.Errorf("got the credential of %q, want the cloud's", got)
			}
		})
	}
	wait.Wait()
	if cloud.asked != 1 {
		t.Errorf("the cloud was asked %d times for one registry, want 1", cloud.asked)
	}
	cloud.fail = errors.New("no identity")
	if _, err := k.For(t.Context(), reference.Destination, "b.cloud", "image"); !errors.Is(err, cloud.fail) {
		t.Errorf("got the error %v, want the cloud's", err)
	}
}

func TestPrintedKeychainShowsNothing(t *testing.T) {
	k := keychain(t, auths(map[string]string{"quay.io": "hunter2"}))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, k); strings.Contains(got, "hunter2") {
			t.Errorf("%s shows %s", verb, got)
		}
	}
}

func BenchmarkFor(b *testing.B) {
	entries := map[string]string{}
	for i := range 100 {
		entries[fmt.Sprintf("quay.io/org%d", i)] = "u"
	}
	path := filepath.Join(b.TempDir(), "auth.json")
	if err := os.WriteFile(path, []byte(auths(entries)), 0o600); err != nil {
		b.Fatal(err)
	}
	k, err := Load(func(name string) string { return map[string]string{"REGISTRY_AUTH_FILE": path}[name] }, Options{})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := k.For(b.Context(), reference.Destination, "quay.io", "org50/some/image"); err != nil {
			b.Fatal(err)
		}
	}
}

// Opening a named pipe waits for a writer, and not even SIGTERM would end that.
func TestNamedPipesAreNotWaitedFor(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "config.json")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err := (location{path: pipe, guessed: true}).read(); err != nil || len(f.auths) != 0 {
		t.Errorf("a pipe as a file of credentials: got %v, %v", f, err)
	}
	if _, err := (cluster{registry: "r.example", file: pipe}).credential(); err == nil || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("a pipe as the service account's token: got %v", err)
	}
}
