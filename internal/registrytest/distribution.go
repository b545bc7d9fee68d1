package registrytest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// DistributionOptions are the settings of StartDistribution. The zero value is a registry in memory
// that demands no credentials.
type DistributionOptions struct {
	Dir         string            // for its content; empty: in memory, which gets slow with blobs of many MB
	Users       map[string]string // passwords by name for basic authentication; empty: none is demanded
	Tokens      *TokenService     // issues the tokens that it demands and verifies; nil: none
	Undeletable bool              // it answers 405 to DELETE, as without its option storage.delete
	Sparse      bool              // it accepts an index whose manifests it does not have
}

// StartDistribution starts distribution's registry as a process, and builds it first if this
// machine has not built it yet. The registry mounts blobs, checks that a manifest's blobs
// exist, and refuses Docker schema 1. The process ends with Close, and when this process ends.
func StartDistribution(o DistributionOptions) (*Registry, error) {
	program, err := Build(os.Stderr)
	if err != nil {
		return nil, fmt.Errorf("building the registry: %w", err)
	}
	dir, err := os.MkdirTemp("", "registrytest-")
	if err != nil {
		return nil, err
	}
	r, err := start(program, dir, o)
	if err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("starting the registry: %w", err)
	}
	return r, nil
}

func start(path, dir string, o DistributionOptions) (*Registry, error) {
	config, err := writeConfig(dir, o)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, config)
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	// Its first line is its address.
	r, err := startProcess(cmd, dir, func(line string) string { return line })
	if err != nil {
		return nil, err
	}
	if len(o.Users) == 0 {
		// The registry has read its configuration and has no passwords to look up. Without the
		// directory, nothing stays if this process is killed.
		os.RemoveAll(dir)
	}
	return r, nil
}

// settings are a part of a configuration.
type settings = map[string]any

const secret = "of no use outside of tests"

// baseConfig returns the settings that distribution 2.8 and 3 share. dir is for the content; empty
// is memory.
func baseConfig(dir string) settings {
	driver, place := "inmemory", settings{}
	if dir != "" {
		driver, place = "filesystem", settings{"rootdirectory": dir}
	}
	return settings{
		"version": "0.1",
		"log":     settings{"level": "warn"},
		"http":    settings{"secret": secret},
		"storage": settings{
			driver:        place,
			"delete":      settings{"enabled": true},
			"maintenance": settings{"uploadpurging": settings{"enabled": false}},
		},
		// The registry accepts foreign layers only with URLs that match these.
		"validation": settings{"manifests": settings{"urls": settings{"allow": []string{"^https?://"}}}},
	}
}

// writeConfig writes the registry's configuration into dir, as JSON, which is valid YAML.
func writeConfig(dir string, o DistributionOptions) (string, error) {
	config := baseConfig(o.Dir)
	if o.Undeletable {
		config["storage"].(settings)["delete"] = settings{"enabled": false}
	}
	if len(o.Users) > 0 {
		passwords, err := writePasswords(dir, o.Users)
		if err != nil {
			return "", err
		}
		config["auth"] = settings{"htpasswd": settings{"realm": "registrytest", "path": passwords}}
	}
	if o.Tokens != nil {
		certificate := filepath.Join(dir, "token.pem")
		if err := os.WriteFile(certificate, o.Tokens.authority.signer.pem(), 0o600); err != nil {
			return "", err
		}
		config["auth"] = settings{"token": settings{
			"realm": o.Tokens.realm(), "service": o.Tokens.service(), "issuer": issuer, "rootcertbundle": certificate,
		}}
	}
	if o.Sparse {
		config["validation"].(settings)["manifests"].(settings)["indexes"] = settings{"platforms": "none"}
	}
	b, err := json.Marshal(config)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "config.yml")
	return path, os.WriteFile(path, b, 0o600)
}

func writePasswords(dir string, users map[string]string) (string, error) {
	var lines strings.Builder
	for name, password := range users {
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&lines, "%s:%s\n", name, hash)
	}
	path := filepath.Join(dir, "htpasswd")
	return path, os.WriteFile(path, []byte(lines.String()), 0o600)
}

// CollectGarbage deletes from a directory of a registry that is not running what no tag leads to,
// as distribution's command garbage-collect --delete-untagged does.
func CollectGarbage(content string) error {
	program, err := Build(os.Stderr)
	if err != nil {
		return fmt.Errorf("building the registry: %w", err)
	}
	dir, err := os.MkdirTemp("", "registrytest-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	config, err := writeConfig(dir, DistributionOptions{Dir: content})
	if err != nil {
		return err
	}
	if out, err := exec.Command(program, config, "collect").CombinedOutput(); err != nil {
		return fmt.Errorf("collecting garbage: %w: %s", err, out)
	}
	return nil
}
