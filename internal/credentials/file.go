package credentials

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxFile bounds a file of credentials.
const maxFile = 1 << 20

// file is one file, its keys normalized.
type file struct {
	path    string
	auths   map[string]Credential
	helpers map[string]string // helper by key; "" keeps the store from being asked for the key
	store   string            // the helper for all other keys, or ""
}

// candidate is where a file may be.
type candidate struct {
	path     string
	variable string // that names the very file, so that it must be there; or ""
	pull     bool   // its entries are for sources only
}

// dockerFiles are the names of a file in Docker's folder, the second being the key of a Kubernetes secret.
var dockerFiles = []string{"config.json", ".dockerconfigjson"}

// candidates lists where files may be, the first to be preferred. A variable that names a place replaces the tool's own.
func candidates(getenv func(string) string) []candidate {
	var at []candidate
	below := func(dir string, elements ...string) {
		if dir != "" {
			at = append(at, candidate{path: filepath.Join(append([]string{dir}, elements...)...)})
		}
	}
	home := getenv("HOME")
	docker := getenv("DOCKER_CONFIG")
	if docker == "" && home != "" {
		docker = filepath.Join(home, ".docker")
	}
	for _, name := range dockerFiles {
		below(docker, name)
	}
	if path := getenv("REGISTRY_AUTH_FILE"); path != "" {
		return append(at, candidate{path: path, variable: "REGISTRY_AUTH_FILE"})
	}
	below(getenv("XDG_RUNTIME_DIR"), "containers", "auth.json")
	if dir := getenv("XDG_CONFIG_HOME"); dir != "" {
		below(dir, "containers", "auth.json")
	} else {
		below(home, ".config", "containers", "auth.json")
	}
	return at
}

// pullCandidates are where MIRROR_PULL_CONFIG leads: the very file, or those in the directory, which may be empty.
func pullCandidates(path string) ([]candidate, error) {
	const variable = "MIRROR_PULL_CONFIG"
	if path == "" {
		return nil, nil
	}
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return []candidate{{path: path, variable: variable, pull: true}}, nil // read says what is wrong with it
	}
	keys, err := keysOf(path)
	if err != nil {
		return nil, err
	}
	if len(keys) > 0 && !hasFile(keys) {
		return nil, wrongKeys(path, keys)
	}
	var at []candidate
	for _, name := range dockerFiles {
		at = append(at, candidate{path: filepath.Join(path, name), pull: true})
	}
	return at, nil
}

// checkSecret refuses a secret that Kubernetes has mounted as dir, and that does not exist, is empty, or has its content under
// keys which nobody looks for. A folder of Docker's may be without a file.
func checkSecret(dir string) error {
	if _, err := os.Lstat(filepath.Join(dir, "..data")); dir == "" || err != nil {
		return nil // it is no volume of Kubernetes
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

// keysOf are the names in a directory, but for those that Kubernetes keeps for itself in a volume.
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

func hasFile(keys []string) bool {
	return slices.ContainsFunc(keys, func(k string) bool { return slices.Contains(dockerFiles, k) })
}

func wrongKeys(dir string, keys []string) error {
	return fmt.Errorf("the secret at %q has the keys %.300q: put the credentials under .dockerconfigjson or config.json", dir, keys)
}

// read reads the file at l, or returns nil where there may be one and is none.
func (l candidate) read() (*file, error) {
	f, err := os.Open(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		if l.variable != "" {
			return nil, fmt.Errorf("%s names %q, which does not exist: write it, or unset the variable", l.variable, l.path)
		}
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading credentials: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading credentials: %w", err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("the file of credentials %q is larger than %d bytes", l.path, maxFile)
	}
	parsed, err := parseFile(data)
	if err != nil {
		return nil, fmt.Errorf("the file of credentials %q: %w", l.path, err)
	}
	parsed.path = l.path
	return parsed, nil
}

// parseFile reads what Docker and podman write. Its errors show nothing of the content but keys and the names of helpers.
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
			return nil, fmt.Errorf("the entry %q: %w", key, err)
		}
		if c != (Credential{}) {
			f.auths[key] = c
		}
	}
	for _, name := range append(slices.Sorted(maps.Values(f.helpers)), f.store) {
		if strings.ContainsAny(name, `/\`) {
			return nil, fmt.Errorf("%q is no credential helper: write NAME for the program docker-credential-NAME in PATH", name)
		}
	}
	return f, nil
}

// withoutContent says where a file is broken, without the part of its content that encoding/json's error may hold.
func withoutContent(data []byte, err error) error {
	var broken *json.SyntaxError
	if errors.As(err, &broken) {
		line := 1 + bytes.Count(data[:min(broken.Offset, int64(len(data)))], []byte("\n"))
		return fmt.Errorf("line %d is no JSON", line)
	}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		line := 1 + bytes.Count(data[:min(wrong.Offset, int64(len(data)))], []byte("\n"))
		return fmt.Errorf(`line %d has a value of the wrong type: "auths" holds an object of strings for each registry, "credHelpers" and "credsStore" hold names`, line)
	}
	return errors.New("it is no JSON")
}

// normalize normalizes the keys of m. Of two spellings of one key the normal one counts, or else the first in
// the alphabet. A key with an @ is dropped: it matches no image, and may hold a password, as a URL does.
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

// auth is an entry as it is written. An empty one is Docker's mark that a helper has the credential.
type auth struct {
	Auth          string `json:"auth"` // base64 of USER:PASSWORD
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
}

func (a auth) credential() (Credential, error) {
	c := Credential{Username: a.Username, Password: a.Password, IdentityToken: a.IdentityToken, RegistryToken: a.RegistryToken}
	if a.Auth == "" {
		return c, nil
	}
	// People write it with and without padding.
	decoded, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(strings.TrimSpace(a.Auth), "="))
	user, password, pair := strings.Cut(string(decoded), ":")
	if err != nil || !pair {
		return Credential{}, errors.New(`its "auth" is not the base64 of USER:PASSWORD`)
	}
	c.Username = user
	c.Password = strings.Trim(password, "\x00") // old versions of Docker padded it
	return c, nil
}
