// Package credentials finds the credential for a repository in the files of Docker and
// podman, in their credential helpers and in the keychains of clouds.
//
// The longest prefix of the repository's name wins over all files together:
// quay.io/org/image, then quay.io/org, then quay.io. An entry for quay.io/one-team is
// never used for quay.io/another, which is read anonymously.
//
// Files are read again when they change, so that a secret can be rotated during a run.
package credentials

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"imagemirror/internal/reference"
)

// timeout bounds one call of a helper or a cloud. Both may use the network.
const timeout = 30 * time.Second

// A Cloud makes credentials for the registries of one cloud from the machine's identity
// there.
type Cloud interface {
	// Serves reports whether a registry, host or host:port in lower case, belongs to
	// the cloud.
	Serves(registry string) bool
	// Credential returns a credential for a registry of the cloud, zero if the machine
	// has no identity there.
	Credential(ctx context.Context, registry string) (Credential, error)
}

// Options is the part of the environment that is about credentials, besides the
// variables of Docker and podman.
type Options struct {
	PullConfig       string `split_words:"true" desc:"file or directory with credentials for sources"`
	ClusterRegistry  string `split_words:"true" desc:"host of the cluster's own registry, which gets the service account token"`
	ClusterTokenFile string `split_words:"true" default:"/var/run/secrets/kubernetes.io/serviceaccount/token" desc:"file with the service account token"`
}

// A Keychain finds credentials. It is safe for concurrent use.
type Keychain struct {
	files   []*reloadedFile // in order of preference
	cluster cluster
	clouds  []Cloud
	timeout time.Duration
	helpers helpers
	asked   memo[Credential] // of clouds, by registry
}

// Load reads the files that exist, in this order:
//
//   - those that o names for sources
//   - config.json and .dockerconfigjson, the key of a Kubernetes secret, in
//     $DOCKER_CONFIG or ~/.docker
//   - $REGISTRY_AUTH_FILE; or containers/auth.json in $XDG_RUNTIME_DIR and in
//     $XDG_CONFIG_HOME or ~/.config
//
// Of two entries with the same key, the first wins. If no entry matches, the cluster's
// registry gets the service account's token, and clouds are asked for their registries.
// The error has a line for each file that cannot be read, and shows nothing secret.
func Load(getenv func(string) string, o Options, clouds ...Cloud) (*Keychain, error) {
	k := &Keychain{clouds: clouds, timeout: timeout, helpers: helpers{timeout: timeout}}
	pull, wrong := pullCandidates(o.PullConfig)
	var bad error
	k.cluster, bad = newCluster(o)
	return k, k.read(append(pull, locations(getenv)...), wrong, checkSecret(getenv("DOCKER_CONFIG")), bad)
}

// LoadPull reads only the files that o names for sources. The Keychain uses them to
// read destinations, too, and knows no other secret.
func LoadPull(o Options) (*Keychain, error) {
	k := &Keychain{timeout: timeout, helpers: helpers{timeout: timeout}}
	at, wrong := pullCandidates(o.PullConfig)
	for i := range at {
		at[i].pull = false
	}
	return k, k.read(at, wrong)
}

// read reads the files for the first time. It joins its errors with errs.
func (k *Keychain) read(at []location, errs ...error) error {
	for _, c := range at {
		w := &reloadedFile{location: c}
		if err := w.first(); err != nil {
			errs = append(errs, err)
		}
		k.files = append(k.files, w)
	}
	return errors.Join(errs...)
}

// Format writes the type's name: %v would print the files' content.
func (k *Keychain) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "credentials.Keychain") }

// For returns the credential for a repository of a registry, which is host or
// host:port. It is zero, which is anonymous, if nothing matches. It fails if a helper
// for a matching key cannot be asked; a helper for all keys (credsStore) that cannot be
// asked is an error only if nothing else matches.
func (k *Keychain) For(ctx context.Context, side reference.Side, registry, repository string) (Credential, error) {
	c, _, err := k.find(ctx, side, registry, repository)
	return c, err
}

// Origin tells where the credential that For returns comes from. It shows nothing secret.
func (k *Keychain) Origin(ctx context.Context, side reference.Side, registry, repository string) string {
	_, from, _ := k.find(ctx, side, registry, repository)
	return from()
}

// Empty reports whether no file has an entry and there is no registry of the cluster.
func (k *Keychain) Empty() bool {
	for _, w := range k.files {
		if f := w.current(); f != nil && (len(f.auths) > 0 || len(f.helpers) > 0 || f.store != "") {
			return false
		}
	}
	return k.cluster.registry == ""
}

// find returns the credential and what describes its origin, which only an error needs.
func (k *Keychain) find(ctx context.Context, side reference.Side, registry, repository string) (c Credential, origin func() string, err error) {
	host := normalizeHost(registry)
	files := k.current(side)
	var unasked error
	for key, more := host+"/"+repository, true; more; key, more = parentKey(key) {
		for _, f := range files {
			c, err := k.entry(ctx, f, key, &unasked)
			if err != nil || c != (Credential{}) {
				return c, func() string { return fmt.Sprintf("the entry %q of %q", key, f.path) }, err
			}
		}
	}
	if k.cluster.serves(host) {
		c, err := k.cluster.credential()
		return c, func() string { return fmt.Sprintf("the service account's token in %q", k.cluster.file) }, err
	}
	c, err = k.cloud(ctx, host)
	switch {
	case c != (Credential{}):
		return c, func() string { return "this machine's identity in a cloud" }, err
	case err == nil:
		err = unasked
	}
	return c, func() string { return "no credentials: " + unmatched(files) }, err
}

// unmatched names the files that have no entry that matches.
func unmatched(files []*file) string {
	if len(files) == 0 {
		return "there is no file with credentials"
	}
	var paths []string
	for _, f := range files {
		paths = append(paths, strconv.Quote(f.path))
	}
	return "no entry matches in " + strings.Join(paths, ", ")
}

// current returns the files that may be used for the side.
func (k *Keychain) current(side reference.Side) []*file {
	files := make([]*file, 0, len(k.files))
	for _, w := range k.files {
		if w.pull && side != reference.Source {
			continue
		}
		if f := w.current(); f != nil {
			files = append(files, f)
		}
	}
	return files
}

// parentKey returns a key without its last element, or false if it has only one.
func parentKey(key string) (string, bool) {
	i := strings.LastIndexByte(key, '/')
	if i < 0 {
		return "", false
	}
	return key[:i], true
}

// entry looks up exactly this key in f. Like Docker, it asks a helper before the file
// itself. It sets unasked if the store cannot be asked.
func (k *Keychain) entry(ctx context.Context, f *file, key string, unasked *error) (Credential, error) {
	name, own := f.helpers[key]
	switch {
	case name != "":
		c, err := k.helpers.get(ctx, name, serverURL(key))
		if err != nil {
			return Credential{}, fmt.Errorf("%w (credHelpers in %q)", err, f.path)
		}
		if c != (Credential{}) {
			return c, nil
		}
	case !own && f.store != "":
		c, err := k.helpers.stored(ctx, f.store, key)
		if err != nil && *unasked == nil {
			*unasked = fmt.Errorf("%w (credsStore in %q)", err, f.path)
		}
		if c != (Credential{}) {
			return c, nil
		}
	}
	return f.auths[key], nil
}

// cloud asks the cloud that the registry belongs to, if any.
func (k *Keychain) cloud(ctx context.Context, registry string) (Credential, error) {
	for _, cloud := range k.clouds {
		if !cloud.Serves(registry) {
			continue
		}
		return k.asked.do(ctx, registry, func() (Credential, error) {
			limit, cancel := context.WithTimeout(ctx, k.timeout)
			defer cancel()
			c, err := cloud.Credential(limit, registry)
			return c.hidden(), err
		})
	}
	return Credential{}, nil
}
