package credentials

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"imagemirror/internal/reference"
)

// vault is a helper that lists a namespace and two spellings of Docker Hub. It knows one
// more host than it lists.
const vault = `
case $1 in
list) echo '{"https://index.docker.io/v1/": "hub", "https://index.docker.io/v1/refresh-token": "desktop", "quay.io/org": "org"}' ;;
get)
	read -r server
	case $server in
	https://index.docker.io/v1/) echo '{"ServerURL": "https://index.docker.io/v1/", "Username": "hub", "Secret": "s"}' ;;
	quay.io/org) echo '{"Username": "org", "Secret": "s"}' ;;
	unlisted.example.com) echo '{"ServerURL": "https://unlisted.example.com", "Username": "unlisted", "Secret": "s"}' ;;
	token.example.com) echo '{"Username": "<token>", "Secret": "s"}' ;;
	*) echo "credentials not found in native keychain"; exit 1 ;;
	esac ;;
esac`

// programs puts helpers into PATH: scripts by name. They write their calls to the file
// that programs returns.
func programs(t *testing.T, scripts map[string]string) (calls string) {
	t.Helper()
	dir := t.TempDir()
	calls = filepath.Join(dir, "calls")
	for name, script := range scripts {
		script = fmt.Sprintf("#!/bin/sh\necho %s $1 >>%s\n%s\n", name, calls, script)
		if err := os.WriteFile(filepath.Join(dir, "docker-credential-"+name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return calls
}

func TestHelpers(t *testing.T) {
	programs(t, map[string]string{"vault": vault, "same": `read -r server; echo '{"Username": "'"$server"'", "Secret": "s"}'`})
	for _, c := range []struct{ name, config, image, want string }{
		{"a host's helper", `{"credHelpers": {"quay.io": "same"}}`, "quay.io/org/image", "quay.io"},
		{"another host", `{"credHelpers": {"quay.io": "same"}}`, "ghcr.io/org/image", ""},
		{"Docker Hub's", `{"credHelpers": {"https://index.docker.io/v1/": "same"}}`, "docker.io/org/image", "https://index.docker.io/v1/"},
		{"a namespace's", `{"credHelpers": {"quay.io/org": "same"}}`, "quay.io/org/image", "quay.io/org"},
		{"another namespace", `{"credHelpers": {"quay.io/org": "same"}}`, "quay.io/other/image", ""},
		{"a longer entry wins", `{"credHelpers": {"quay.io": "same"}, "auths": {"quay.io/org": {"username": "u"}}}`, "quay.io/org/image", "u"},
		{"before the file's entry", `{"credHelpers": {"quay.io": "same"}, "auths": {"quay.io": {"username": "u"}}}`, "quay.io/org/image", "quay.io"},
		{"that has nothing", `{"credHelpers": {"quay.io": "vault"}, "auths": {"quay.io": {"username": "u"}}}`, "quay.io/org/image", "u"},
		{"that is switched off", `{"credsStore": "same", "credHelpers": {"quay.io": ""}}`, "quay.io/org/image", ""},
		{"a store", `{"credsStore": "vault", "auths": {"https://index.docker.io/v1/": {}}}`, "docker.io/org/image", "hub"},
		{"a store's namespace", `{"credsStore": "vault", "auths": {"quay.io": {"username": "u"}}}`, "quay.io/org/image", "org"},
		{"a store's other namespace", `{"credsStore": "vault"}`, "quay.io/other/image", ""},
		{"a store that lists not all", `{"credsStore": "vault"}`, "unlisted.example.com/image", "unlisted"},
		{"a store that lists nothing", `{"credsStore": "same"}`, "quay.io/org/image", "quay.io"},
		{"a helper before the store", `{"credsStore": "same", "credHelpers": {"quay.io": "vault"}}`, "quay.io/other/image", ""},
	} {
		if got := user(t, keychain(t, c.config), c.image); got != c.want {
			t.Errorf("%s: got the credential of %q, want %q", c.name, got, c.want)
		}
	}
	got, err := keychain(t, `{"credsStore": "vault"}`).For(t.Context(), reference.Destination, "token.example.com", "image")
	if want := (Credential{IdentityToken: "s"}); err != nil || got != want {
		t.Errorf("token: got another credential, or the error %v", err)
	}
}

func TestHelperFails(t *testing.T) {
	programs(t, map[string]string{
		"exit":    `echo "log in first"; exit 3`,
		"stderr":  `echo "log in first" >&2; exit 3`,
		"leak":    `echo '{"Secret": "hunter2"}'; exit 1`,
		"text":    `echo hunter2`,
		"long":    `yes hunter2`,
		"other":   `echo '{"ServerURL": "quay.io/other", "Username": "u", "Secret": "hunter2"}'`,
		"hanging": `exec sleep 60`,
		"child":   `sleep 5`,
	})
	for _, c := range []struct{ helper, message string }{
		{"exit", `exit status 3: "log in first"`},
		{"stderr", `exit status 3: "log in first"`},
		{"leak", "exit status 1"},
		{"text", "not JSON"},
		{"long", "exceeds"},
		{"other", `the credential of "quay.io/other"`},
		{"hanging", "no answer within 200ms"},
		{"child", "no answer within 200ms"},
		{"absent", "program not found in PATH"},
	} {
		t.Run(c.helper, func(t *testing.T) {
			for _, config := range []string{`{"credHelpers": {"quay.io": %q}}`, `{"credsStore": %q}`} {
				k := keychain(t, fmt.Sprintf(config, c.helper))
				if strings.Contains(c.message, "200ms") {
					k.helpers.timeout = 200 * time.Millisecond
				}
				got, err := k.For(t.Context(), reference.Destination, "quay.io", "image")
				if err == nil || got != (Credential{}) {
					t.Fatalf("%s: got no error, want one", config)
				}
				for _, want := range []string{c.message, "docker-credential-" + c.helper, "config.json"} {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("got %q, want an error with %q", err, want)
					}
				}
				if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
					t.Errorf("%q shows a secret, or has lines", err)
				}
			}
		})
	}
}

func TestBrokenHelperDoesNotStopOthers(t *testing.T) {
	programs(t, map[string]string{"broken": "exit 1"})
	k := keychain(t, `{"credHelpers": {"quay.io": "broken"}, "auths": {"quay.io/org": {"username": "org"}, "ghcr.io": {"username": "ghcr"}}}`)
	for _, c := range []struct{ image, want string }{
		{"quay.io/org/image", "org"},
		{"ghcr.io/image", "ghcr"},
		{"docker.io/org/image", ""},
	} {
		if got := user(t, k, c.image); got != c.want {
			t.Errorf("%s: got the credential of %q, want %q", c.image, got, c.want)
		}
	}
	k = keychain(t, `{"credsStore": "broken", "auths": {"ghcr.io": {"username": "ghcr"}}}`)
	if got := user(t, k, "ghcr.io/image"); got != "ghcr" {
		t.Errorf("a broken store: got the credential of %q, want that of the file", got)
	}
}

func TestHelperIsAskedOnce(t *testing.T) {
	calls := programs(t, map[string]string{"vault": vault})
	k := keychain(t, `{"credsStore": "vault"}`)
	var wait sync.WaitGroup
	for i := range 50 {
		wait.Go(func() {
			if got := user(t, k, fmt.Sprintf("quay.io/org/image%d", i)); got != "org" {
				t.Errorf("got the credential of %q, want org", got)
			}
			if got := user(t, k, fmt.Sprintf("ghcr.io/org/image%d", i)); got != "" {
				t.Errorf("got the credential of %q, want none", got)
			}
		})
	}
	wait.Wait()
	got, err := os.ReadFile(calls)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(got), "\n"); n != 3 {
		t.Errorf("the helper ran %d times, want 3: to list, and once for each of two keys\n%s", n, got)
	}
}

func TestHelperIsInterrupted(t *testing.T) {
	programs(t, map[string]string{"wait": "exec sleep 60"})
	k := keychain(t, `{"credHelpers": {"quay.io": "wait"}}`)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := k.For(ctx, reference.Destination, "quay.io", "image"); err == nil || ctx.Err() == nil {
		t.Errorf("got %v, want the context's error", err)
	}
}
