// Package credentials finds the credential for a repository in the files of Docker and podman, their credential helpers
// and the keychains of clouds.
//
// The longest prefix of the repository's name wins over all files together: quay.io/org/image, then quay.io/org, then
// quay.io. Nothing else of a host is ever handed out: an entry for quay.io/one-team is no help to
// quay.io/another, which is then read anonymously.
//
// Files are read anew when they change, so that a secret can be rotated in the middle of a run.
package credentials

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"imagemirror/internal/reference"
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

// Options are what the environment says besides Docker's and podman's own variables.
type Options struct {
	PullConfig       string `split_words:"true" desc:"file of credentials for sources, or a directory with it: a secret for pulling"`
	ClusterRegistry  string `split_words:"true" desc:"host of the cluster's own registry, which is shown the service account's token"`
	ClusterTokenFile string `split_words:"true" default:"/var/run/secrets/kubernetes.io/serviceaccount/token" desc:"that token"`
}

// Keychain finds credentials. Its methods may be called by several goroutines at once.
type Keychain struct {
	files   []*reloadedFile // the first is preferred
	cluster cluster
	clouds  []Cloud
	timeout time.Duration
	helpers helpers
	asked   memo[Credential] // of clouds, by registry
}

// Load reads the files that there are, in this order: those that Options name for sources; config.json and
// .dockerconfigjson, which is the key of a Kubernetes secret, in $DOCKER_CONFIG or else ~/.docker; then
// $REGISTRY_AUTH_FILE, or else containers/auth.json in $XDG_RUNTIME_DIR and in $XDG_CONFIG_HOME, which is ~/.config where it
// is not set. Of two entries with the same key the first counts. Where no entry matches, the service account's token
// is for the cluster's registry, and clouds are asked for theirs. The error has a line for each file that cannot be read, and
// shows nothing secret.
func Load(getenv func(string) string, o Options, clouds ...Cloud) (*Keychain, error) {
	k := &Keychain{clouds: clouds, timeout: timeout, helpers: helpers{timeout: timeout}}
	pull, wrong := pullCandidates(o.PullConfig)
	var bad error
	k.cluster, bad = newCluster(o)
	return k, k.read(append(pull, candidates(getenv)...), wrong, checkSecret(getenv("DOCKER_CONFIG")), bad)
}

// LoadPull reads the files that Options name for sources, and nothing else: what it returns can push nowhere that they do not
// allow, and knows no other secret. Its entries are for reading destinations, too.
func LoadPull(o Options) (*Keychain, error) {
	k := &Keychain{timeout: timeout, helpers: helpers{timeout: timeout}}
	at, wrong := pullCandidates(o.PullConfig)
	for i := range at {
		at[i].pull = false
	}
	return k, k.read(at, wrong)
}

// read reads the files for the first time. Its error has those that it is given, too.
func (k *Keychain) read(at []candidate, errs ...error) error {
	for _, c := range at {
		w := &reloadedFile{candidate: c}
		if err := w.first(); err != nil {
			errs = append(errs, err)
		}
		k.files = append(k.files, w)
	}
	return errors.Join(errs...)
}

// Format writes the type's name: %v would show what the files hold.
func (k *Keychain) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "credentials.Keychain") }

// For returns the credential for a repository of a registry, which is a host or host:port: zero, which is anonymous,
// where nothing matches. A helper that is configured for a matching key and cannot be asked is an error;
// one that is configured for all keys (credsStore) is an error where nothing else matches.
func (k *Keychain) For(ctx context.Context, side reference.Side, registry, repository string) (Credential, error) {
	c, _, err := k.find(ctx, side, registry, repository)
	return c, err
}

// Origin says where the credential of For comes from, in words that show nothing secret.
func (k *Keychain) Origin(ctx context.Context, side reference.Side, registry, repository string) string {
	_, origin, _ := k.find(ctx, side, registry, repository)
	return origin
}

// Empty says whether there is no file with an entry, nor a registry of the cluster.
func (k *Keychain) Empty() bool {
	for _, w := range k.files {
		if f := w.current(); f != nil && (len(f.auths) > 0 || len(f.helpers) > 0 || f.store != "") {
			return false
		}
	}
	return k.cluster.registry == ""
}

func (k *Keychain) find(ctx context.Context, side reference.Side, registry, repository string) (c Credential, origin string, err error) {
	host := normalizeHost(registry)
	files := k.current(side)
	var unasked error
	for key, more := host+"/"+repository, true; more; key, more = parentKey(key) {
		for _, f := range files {
			c, err := k.entry(ctx, f, key, &unasked)
			if err != nil || c != (Credential{}) {
				return c, fmt.Sprintf("the entry %q of %q", key, f.path), err
			}
		}
	}
	if k.cluster.serves(host) {
		c, err := k.cluster.credential()
		return c, fmt.Sprintf("the service account's token in %q", k.cluster.file), err
	}
	c, err = k.cloud(ctx, host)
	switch {
	case c != (Credential{}):
		return c, "this machine's identity in a cloud", err
	case err == nil:
		err = unasked
	}
	return c, "no credentials: no entry of a file matches", err
}

// current returns the files whose entries are for the side.
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

// parentKey cuts the last element off a key, and says whether there was more than one.
func parentKey(key string) (string, bool) {
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
