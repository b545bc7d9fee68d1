// Package credentials finds the credential for a repository in the files of Docker and podman, their credential helpers
// and the keychains of clouds.
//
// The longest prefix of the repository's name wins over all files together: quay.io/org/image, then quay.io/org, then
// quay.io. Nothing else of a host is ever handed out: an entry for quay.io/one-team is no help to
// quay.io/another, which is then read anonymously.
package credentials

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// timeout is for one call of a helper or a cloud; both may have to ask the network.
const timeout = 30 * time.Second

// Cloud is a keychain that makes credentials for the registries of one cloud from the identity of the machine.
type Cloud interface {
	// Serves says whether the registry, a host or host:port in lower case, belongs to the cloud.
	Serves(registry string) bool
	// Credential returns a credential for a registry that Serves: zero where the machine has no identity in the cloud.
	Credential(ctx context.Context, registry string) (Credential, error)
}

// Keychain finds credentials. Its methods may be called by several goroutines at once.
type Keychain struct {
	files   []*file // the first is preferred
	clouds  []Cloud
	timeout time.Duration
	helpers helpers
	asked   memo[Credential] // of clouds, by registry
}

// Load reads the files that there are, in this order: config.json and .dockerconfigjson, which is the key of a
// Kubernetes secret, in $DOCKER_CONFIG or else ~/.docker; then $REGISTRY_AUTH_FILE, or else containers/auth.json
// in $XDG_RUNTIME_DIR and in $XDG_CONFIG_HOME, which is ~/.config where it is not set. Of two entries with the same key
// the first counts. Clouds are asked where no entry matches. The error has a line for each file that cannot
// be read, and shows nothing secret.
func Load(getenv func(string) string, clouds ...Cloud) (*Keychain, error) {
	k := &Keychain{clouds: clouds, timeout: timeout, helpers: helpers{timeout: timeout}}
	errs := []error{checkSecret(getenv("DOCKER_CONFIG"))}
	for _, l := range locations(getenv) {
		f, err := l.read()
		if err != nil {
			errs = append(errs, err)
		} else if f != nil {
			k.files = append(k.files, f)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return k, nil
}

// Format writes the type's name: %v would show what the files hold.
func (k *Keychain) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "credentials.Keychain") }

// For returns the credential for a repository of a registry, which is a host or host:port: zero, which is anonymous,
// where nothing matches. A helper that is configured for a matching key and cannot be asked is an error;
// one that is configured for all keys (credsStore) is an error where nothing else matches.
func (k *Keychain) For(ctx context.Context, registry, repository string) (Credential, error) {
	host := normalizeHost(registry)
	var unasked error
	for key, more := host+"/"+repository, true; more; key, more = parent(key) {
		for _, f := range k.files {
			c, err := k.entry(ctx, f, key, &unasked)
			if err != nil || c != (Credential{}) {
				return c, err
			}
		}
	}
	c, err := k.cloud(ctx, host)
	if err == nil && c == (Credential{}) {
		err = unasked
	}
	return c, err
}

// parent cuts the last element off a key, and says whether there was more than one.
func parent(key string) (string, bool) {
	i := strings.LastIndexByte(key, '/')
	if i < 0 {
		return "", false
	}
	return key[:i], true
}

// entry looks for the very key in f: as Docker does, in a helper before the file itself. It sets unasked where f's
// store cannot be asked.
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

// cloud asks the cloud that the registry belongs to, if it belongs to one.
func (k *Keychain) cloud(ctx context.Context, registry string) (Credential, error) {
	for _, cloud := range k.clouds {
		if !cloud.Serves(registry) {
			continue
		}
		return k.asked.do(ctx, registry, func() (Credential, error) {
			limit, cancel := context.WithTimeout(ctx, k.timeout)
			defer cancel()
			return cloud.Credential(limit, registry)
		})
	}
	return Credential{}, nil
}
