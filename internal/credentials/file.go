package credentials

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"imagemirror/internal/smallfile"
)

// maxFile bounds a file of credentials, in bytes.
const maxFile = 1 << 20

// A file is one file of credentials. Its keys are normalized.
type file struct {
	path    string
	auths   map[string]Credential
	helpers map[string]string // helper by key; "" means that store is not asked for the key
	store   string            // the helper for all other keys, or ""
}

// A location is a path where a file may be.
type location struct {
	path     string
	variable string // the variable that names the file, which then must exist; or ""
	guessed  bool   // nobody named it or its directory, so it may be another program's
	pull     bool   // its entries are for sources only
}

// dockerFiles are the names of a file in Docker's directory. The second is the key of a
// Kubernetes secret.
var dockerFiles = []string{"config.json", ".dockerconfigjson"}

// locations lists where files may be, in order of preference. A variable that is set
// replaces the tool's default path.
func locations(getenv func(string) string) []location {
	var at []location
	guess := func(dir string, elements ...string) {
		if dir != "" {
			at = append(at, location{path: filepath.Join(append([]string{dir}, elements...)...), guessed: true})
		}
	}
	home := getenv("HOME")
	docker := getenv("DOCKER_CONFIG")
	for _, name := range dockerFiles {
		if docker != "" {
			at = append(at, location{path: filepath.Join(docker, name)})
		} else {
			guess(home, ".docker", name)
		}
	}
	if path := getenv("REGISTRY_AUTH_FILE"); path != "" {
		return append(at, location{path: path, variable: "REGISTRY_AUTH_FILE"})
	}
	if dir := getenv("XDG_RUNTIME_DIR"); dir != "" {
		guess(dir, "containers", "auth.json")
	} else {
		guess(podmanRun, strconv.Itoa(os.Getuid()), "auth.json")
	}
	if dir := getenv("XDG_CONFIG_HOME"); dir != "" {
		guess(dir, "containers", "auth.json")
	} else {
		guess(home, ".config", "containers", "auth.json")
	}
	return at
}

// podmanRun is where podman login writes for a user without XDG_RUNTIME_DIR, such as root, in a
// directory for each user ID (containers-auth.json(5)).
var podmanRun = "/run/containers"

// pullCandidates lists the files that MIRROR_PULL_CONFIG names: the file itself, or
// those in a directory, which may be empty.
func pullCandidates(path string) ([]location, error) {
	const variable = "MIRROR_PULL_CONFIG"
	if path == "" {
		return nil, nil
	}
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return []location{{path: path, variable: variable, pull: true}}, nil // read returns the error
	}
	keys, err := keysOf(path)
	if err != nil {
		return nil, err
	}
	if len(keys) > 0 && !hasFile(keys) {
		return nil, wrongKeys(path, keys)
	}
	var at []location
	for _, name := range dockerFiles {
		at = append(at, location{path: filepath.Join(path, name), pull: true})
	}
	return at, nil
}

// checkSecret refuses a Kubernetes secret mounted at dir that is missing, empty, or has
// other keys than those that are read. Any other directory may lack the file.
func checkSecret(dir string) error {
	if _, err := os.Lstat(filepath.Join(dir, "..data")); dir == "" || err != nil {
		return nil // not a Kubernetes volume
	}
	keys, err := keysOf(dir)
	switch {
	case err != nil:
		return err
	case len(keys) == 0:
		// An optional secret that does not exist is mounted as an empty directory.
		return fmt.Errorf("the secret at %q does not exist or is empty: create it, with the registries' credentials under .dockerconfigjson or config.json", dir)
	case !hasFile(keys):
		return wrongKeys(dir, keys)
	}
	return nil
}

// keysOf returns the file names in a directory, without the hidden ones of a Kubernetes
// volume.
func keysOf(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading credentials: %w", err)
	}
	var keys []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "..") {
			keys = append(keys, e.Name())
		}
	}
	return keys, nil
}

// hasFile reports whether one of keys is read.
func hasFile(keys []string) bool {
	return slices.ContainsFunc(keys, func(k string) bool { return slices.Contains(dockerFiles, k) })
}

func wrongKeys(dir string, keys []string) error {
	return fmt.Errorf("the secret at %q has the keys %.300q: put the credentials under .dockerconfigjson or config.json", dir, keys)
}

// read reads the file, or returns nil if an optional one does not exist. It skips a guessed
// file that it may not read: that may be another user's.
func (l location) read() (*file, error) {
	data, err := smallfile.Read(l.path, maxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist) && l.variable != "":
		return nil, fmt.Errorf("%s names %q, which does not exist: create it, or unset the variable", l.variable, l.path)
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil && l.guessed:
		slog.Warn("skipping a file of credentials that cannot be read", "file", l.path, "reason", err)
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading credentials: %w", err)
	case len(data) > maxFile:
		return nil, fmt.Errorf("reading credentials: %q exceeds %d bytes", l.path, maxFile)
	}
	parsed, err := parseFile(data)
	if err != nil {
		return nil, fmt.Errorf("reading credentials: %q: %w", l.path, err)
	}
	parsed.path = l.path
	l.warn(parsed, data)
	return parsed, nil
}

// parseFile reads the format of Docker and podman. Of the content, its errors show keys
// and names of helpers only.
func parseFile(data []byte) (*file, error) {
	var content struct {
		Auths       map[string]auth   `json:"auths"`
		CredHelpers map[string]string `json:"credHelpers"`
		CredsStore  string            `json:"credsStore"`
	}
	if len(bytes.TrimSpace(data)) > 0 {
		if err := json.Unmarshal(data, &content); err != nil {
			return nil, withoutContent(data, err)
		}
	}
	f := &file{auths: map[string]Credential{}, helpers: normalize(content.CredHelpers), store: content.CredsStore}
	for key, a := range normalize(content.Auths) {
		c, err := a.credential()
		if err != nil {
			return nil, fmt.Errorf("entry %q: %w", key, err)
		}
		if c != (Credential{}) {
			f.auths[key] = c.hidden()
		}
	}
	for _, name := range append(slices.Sorted(maps.Values(f.helpers)), f.store) {
		if strings.ContainsAny(name, `/\`) {
			return nil, fmt.Errorf("invalid credential helper %q: write NAME for the program docker-credential-NAME in PATH", name)
		}
	}
	return f, nil
}

// withoutContent returns where a file is broken, without the content that
// encoding/json's errors quote.
func withoutContent(data []byte, err error) error {
	var broken *json.SyntaxError
	if errors.As(err, &broken) {
		line := 1 + bytes.Count(data[:min(broken.Offset, int64(len(data)))], []byte("\n"))
		return fmt.Errorf("line %d is not JSON", line)
	}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		line := 1 + bytes.Count(data[:min(wrong.Offset, int64(len(data)))], []byte("\n"))
		return fmt.Errorf(`line %d has a value of the wrong type: "auths" has an object of strings per registry, "credHelpers" and "credsStore" have names`, line)
	}
	return errors.New("the content is not JSON")
}

// normalize normalizes the keys of m. Of two spellings of one key, the normal one wins,
// or else the first in alphabetical order. It drops keys with an @: they match no
// image, and a URL may contain a password.
func normalize[V any](m map[string]V) map[string]V {
	to := make(map[string]V, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		normal := normalizeKey(key)
		if _, there := to[normal]; (there && key != normal) || strings.Contains(key, "@") {
			continue
		}
		to[normal] = m[key]
	}
	return to
}

// auth is an entry in the file. Docker writes an empty one if a helper has the
// credential.
type auth struct {
	Auth          string `json:"auth"` // base64 of USER:PASSWORD
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
}

// credential returns the credential of an entry.
func (a auth) credential() (Credential, error) {
	c := Credential{Username: a.Username, Password: a.Password, IdentityToken: a.IdentityToken, RegistryToken: a.RegistryToken}
	if a.Auth == "" {
		return c, nil
	}
	// Both forms are in use, with and without padding.
	decoded, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(strings.TrimSpace(a.Auth), "="))
	user, password, pair := strings.Cut(string(decoded), ":")
	if err != nil || !pair {
		return Credential{}, errors.New(`"auth" is not the base64 of USER:PASSWORD`)
	}
	c.Username = user
	c.Password = strings.Trim(password, "\x00") // old versions of Docker pad it
	return c, nil
}
