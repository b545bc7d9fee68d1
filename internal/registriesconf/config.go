// Package registriesconf finds the location of a repository in a
// containers-registries.conf(5) file: another registry, mirrors, a registry that allows
// plain HTTP, or none if the file blocks it.
//
// podman's library reads and applies the file. This package restricts the library to
// that one file, refuses what the library ignores, and applies locations to
// destinations, too.
package registriesconf

import (
	"errors"
	"fmt"
	"sync"

	named "go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
	"go.podman.io/image/v5/types"

	"imagemirror/internal/fault"
	"imagemirror/internal/reference"
)

// noDropIns is a directory that does not exist. Without one, the library would read the
// machine's drop-in files and the file that CONTAINERS_REGISTRIES_CONF_OVERRIDE names.
const noDropIns = "/nonexistent"

// anyDigest stands for any digest: the library only checks whether there is one.
const anyDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// An Endpoint is a repository on a registry.
type Endpoint struct {
	Registry   string // host or host:port
	Repository string
	Insecure   bool // plain HTTP and unverified TLS are allowed
}

// A Config is a registries.conf file, or none. It is safe for concurrent use.
type Config struct {
	path     string               // "" without a file
	system   *types.SystemContext // tells the library the file
	rewrites sync.Map             // *rewrite by repository name; only of repositories that the file is about
}

// A rewrite is what the file says about a repository.
type rewrite struct {
	tagged, digested []Endpoint // by tag and by digest: mirrors, then the location
	err              error
}

// Load reads the file at path. An empty path is an empty file. The error is one line
// and names the file.
func Load(path string) (*Config, error) {
	c := &Config{path: path, system: &types.SystemContext{SystemRegistriesConfPath: path, SystemRegistriesConfDirPath: noDropIns}}
	if path == "" {
		return c, nil
	}
	file, err := decode(path)
	if err == nil {
		if _, err = sysregistriesv2.TryUpdatingCache(c.system); err == nil {
			err = checkSupported(file)
		} else if inner := errors.Unwrap(err); inner != nil {
			err = inner // without the path
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading registries.conf %q: %w", path, err)
	}
	return c, nil
}

// Sources returns where to read ref, in the order to try: mirrors, then its location.
// Some mirrors serve only references by digest, or only by tag. It fails if the file
// blocks ref. The caller must not change the list, which is shared.
func (c *Config) Sources(ref reference.Reference) ([]Endpoint, error) {
	r := c.rewrite(ref)
	if ref.Digest != "" {
		return r.digested, r.err
	}
	return r.tagged, r.err
}

// Destination returns where to write ref: its location, never a mirror. It fails if the
// file blocks ref.
func (c *Config) Destination(ref reference.Reference) (Endpoint, error) {
	r := c.rewrite(ref)
	if r.err != nil {
		return Endpoint{}, r.err
	}
	return r.tagged[len(r.tagged)-1], nil
}

// rewrite returns what the file says about ref's repository.
func (c *Config) rewrite(ref reference.Reference) *rewrite {
	name := ref.Name()
	if r, known := c.rewrites.Load(name); known {
		return r.(*rewrite)
	}
	r := c.find(name)
	if r == nil {
		itself := []Endpoint{{Registry: ref.Registry, Repository: ref.Repository}}
		return &rewrite{tagged: itself, digested: itself}
	}
	c.rewrites.Store(name, r)
	return r
}

// find asks the library. It returns nil if the file says nothing about the repository.
func (c *Config) find(name string) *rewrite {
	if c.path == "" {
		return nil
	}
	registry, err := sysregistriesv2.FindRegistry(c.system, name)
	switch {
	case err != nil:
		return &rewrite{err: fmt.Errorf("reading registries.conf %q: %w", c.path, err)}
	case registry == nil:
		return nil
	case registry.Blocked:
		return &rewrite{err: fault.Blocked.Mark(fmt.Errorf("%s is blocked: registries.conf %q blocks the prefix %q", name, c.path, registry.Prefix))}
	}
	r := &rewrite{}
	if r.tagged, err = endpoints(registry, name); err == nil {
		r.digested, err = endpoints(registry, name+"@"+anyDigest)
	}
	if err != nil {
		r.err = fmt.Errorf("rewriting %s by the prefix %q of registries.conf %q: %w", name, registry.Prefix, c.path, err)
	}
	return r
}

// endpoints returns the mirrors of a reference, then its location.
func endpoints(registry *sysregistriesv2.Registry, ref string) ([]Endpoint, error) {
	parsed, err := named.ParseNamed(ref)
	if err != nil {
		return nil, err
	}
	sources, err := registry.PullSourcesFromReference(parsed)
	if err != nil {
		return nil, err
	}
	var to []Endpoint
	for _, s := range sources {
		host := named.Domain(s.Reference)
		to = append(to, Endpoint{Registry: host, Repository: named.Path(s.Reference), Insecure: s.Endpoint.Insecure})
	}
	return to, nil
}
