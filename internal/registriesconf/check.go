package registriesconf

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	named "go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/pkg/sysregistriesv2"

	"imagemirror/internal/reference"
)

// validPort tells people what to write.
const validPort = "write a number from 1 to 65535, or remove the colon"

// maxFile bounds the file, in bytes.
const maxFile = 256 << 10

// decode reads the file and refuses unknown keys, which the library ignores.
func decode(path string) (*sysregistriesv2.V2RegistriesConf, error) {
	content, err := readConf(path)
	if err != nil {
		return nil, err
	}
	var file sysregistriesv2.V2RegistriesConf
	meta, err := toml.Decode(content, &file)
	if err != nil {
		return nil, err
	}
	var unknown []string
	for _, key := range meta.Undecoded() {
		if key[0] == "registries" {
			return nil, errors.New("the file is in version 1 of the format: write a [[registry]] table for each registry")
		}
		unknown = append(unknown, fmt.Sprintf("%q", key.String()))
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("unknown key %s: see containers-registries.conf(5)", strings.Join(slices.Compact(unknown), ", "))
	}
	return &file, nil
}

func readConf(path string) (string, error) {
	// The library reads the file a second time, when a pipe would be empty.
	info, err := os.Stat(path)
	if err != nil {
		return "", osCause(err)
	}
	if !info.Mode().IsRegular() {
		return "", errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return "", osCause(err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", osCause(err)
	}
	if len(content) > maxFile {
		return "", fmt.Errorf("the file exceeds %d bytes", maxFile)
	}
	return string(content), nil
}

// osCause returns the cause of an error about a path, which the caller adds.
func osCause(err error) error {
	var in *os.PathError
	if errors.As(err, &in) {
		return in.Err
	}
	return err
}

// checkSupported refuses what the library accepts although it has no effect, or fails
// at the first image only.
func checkSupported(file *sysregistriesv2.V2RegistriesConf) error {
	for _, helper := range file.CredentialHelpers {
		if helper != sysregistriesv2.AuthenticationFileHelper {
			return fmt.Errorf("credential-helpers is not supported: name %q in credHelpers or credsStore of Docker's config.json or podman's auth.json", helper)
		}
	}
	seen := map[string]bool{}
	for _, r := range file.Registries {
		prefix, location := strings.TrimRight(r.Prefix, "/"), strings.TrimRight(r.Location, "/")
		if prefix == "" {
			prefix = location
		}
		if seen[prefix] {
			return fmt.Errorf("duplicate prefix %q: remove one of the two tables", prefix)
		}
		seen[prefix] = true
		if !reference.ValidPort(prefix) {
			return fmt.Errorf("the prefix %q has an invalid port: %s", prefix, validPort)
		}
		if !strings.HasPrefix(prefix, "*.") && !isName(prefix) {
			return fmt.Errorf("invalid prefix %q: write HOST[:PORT][/PATH] in lower case, without tag and digest, or *.DOMAIN; the host of Docker Hub is docker.io", prefix)
		}
		for _, to := range append([]sysregistriesv2.Endpoint{r.Endpoint}, r.Mirrors...) {
			if to.NamespaceProxy != "" {
				return fmt.Errorf("namespace-proxy is not supported: remove it from the prefix %q", prefix)
			}
			if !reference.ValidPort(to.Location) {
				return fmt.Errorf("the location %q of the prefix %q has an invalid port: %s", to.Location, prefix, validPort)
			}
			if to.Location != "" && !isName(strings.TrimRight(to.Location, "/")) {
				return fmt.Errorf("invalid location %q of the prefix %q: write HOST[:PORT][/PATH] in lower case, without tag and digest; the host of Docker Hub is docker.io", to.Location, prefix)
			}
		}
	}
	return nil
}

// isName reports whether s is a host, or a host and the beginning of a repository name.
func isName(s string) bool {
	// docker.io/x would be short for docker.io/library/x.
	n, err := named.ParseNamed(s + "/x/x")
	return err == nil && named.Domain(n) == strings.ToLower(named.Domain(n))
}
