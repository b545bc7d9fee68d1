package registrytest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// How long a process may take to start and to end.
const (
	startWait = 30 * time.Second
	stopWait  = 5 * time.Second
)

// DistributionOptions are the settings of StartDistribution. The zero value is a registry in memory
// that demands no credentials.
type DistributionOptions struct {
	Dir    string            // for its content; empty: in memory, which gets slow with blobs of many MB
	Users  map[string]string // passwords by name for basic authentication; empty: none is demanded
	Tokens *TokenService     // issues the tokens that it demands and verifies; nil: none
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

func start(program, dir string, o DistributionOptions) (*Registry, error) {
	config, err := writeConfig(dir, o)
	if err != nil {
		return nil, err
	}
	output := &tail{}
	cmd := exec.Command(program, config)
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	cmd.Stderr = output
	// The registry exits when its standard input is closed.
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	killer := time.AfterFunc(startWait, func() { cmd.Process.Kill() })
	host, err := bufio.NewReader(out).ReadString('\n')
	killer.Stop()
	if err != nil {
		input.Close()
		return nil, errors.Join(fmt.Errorf("it ended before it listened: %w", cmd.Wait()), errors.New(output.String()))
	}
	if len(o.Users) == 0 {
		// The registry has read its configuration and has no passwords to look up. Without the
		// directory, nothing stays if this process is killed.
		os.RemoveAll(dir)
	}
	return &Registry{
		Host:   strings.TrimSpace(host),
		PID:    cmd.Process.Pid,
		output: output,
		stop:   func() { stop(cmd, input, dir) },
	}, nil
}

func stop(cmd *exec.Cmd, input io.Closer, dir string) {
	killer := time.AfterFunc(stopWait, func() { cmd.Process.Kill() })
	defer killer.Stop()
	input.Close()
	// The process was told to end, so its status does not matter.
	_ = cmd.Wait()
	os.RemoveAll(dir)
}

// writeConfig writes the registry's configuration into dir, as JSON, which is valid YAML.
func writeConfig(dir string, o DistributionOptions) (string, error) {
	type object = map[string]any
	driver, settings := "inmemory", object{}
	if o.Dir != "" {
		driver, settings = "filesystem", object{"rootdirectory": o.Dir}
	}
	config := object{
		"version": "0.1",
		"log":     object{"level": "warn"},
		"http":    object{"secret": "of no use outside of tests"},
		"storage": object{
			driver:        settings,
			"delete":      object{"enabled": true},
			"maintenance": object{"uploadpurging": object{"enabled": false}},
		},
		// The registry accepts foreign layers only with URLs that match these.
		"validation": object{"manifests": object{"urls": object{"allow": []string{"^https?://"}}}},
	}
	if len(o.Users) > 0 {
		passwords, err := writePasswords(dir, o.Users)
		if err != nil {
			return "", err
		}
		config["auth"] = object{"htpasswd": object{"realm": "registrytest", "path": passwords}}
	}
	if o.Tokens != nil {
		certificate := filepath.Join(dir, "token.pem")
		if err := os.WriteFile(certificate, o.Tokens.authority.signer.pem(), 0o600); err != nil {
			return "", err
		}
		config["auth"] = object{"token": object{
			"realm": o.Tokens.realm(), "service": o.Tokens.service(), "issuer": issuer, "rootcertbundle": certificate,
		}}
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
