// Package registriesconf tells where the images of a repository really are, as a containers-registries.conf(5) file
// says: at another location, behind mirrors, on a registry that may be spoken to in plain HTTP, or nowhere.
//
// podman's own library reads and applies the file; this package keeps the library to that one file, checks what the
// library lets pass, and applies the location to destinations too.
package registriesconf

import (
	"errors"
	"fmt"
	"sync"

	named "go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
	"go.podman.io/image/v5/types"

	"imagemirror/internal/reference"
)

// noDropIns is a directory that no system has. Without one, the library would read the drop-in files of the machine and
// the file that CONTAINERS_REGISTRIES_CONF_OVERRIDE names.
const noDropIns = "/nonexistent"

// anyDigest stands for all digests, where the library asks only whether there is one.
const anyDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// Endpoint is where a repository is.
type Endpoint struct {
	Registry   string // host or host:port
	Repository string
	Insecure   bool // the file allows plain HTTP, and TLS that is not verified
}

// Config is a file, or none. Its methods may be called by several goroutines at once.
type Config struct {
	path     string               // "" where there is no file
	system   *types.SystemContext // names the file to the library
	rewrites sync.Map             // *rewrite by the name of a repository; of those alone that the file speaks of
}

// rewrite is what the file says of a repository.
type rewrite struct {
	tagged, digested []Endpoint // mirrors, then the location
	err              error
}

// Load reads the file at path. An empty path is a file that says nothing. The error is one line and names the file.
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

// Sources lists where to read ref, in the order to try: the mirrors that serve a reference like it, which may
// depend on whether it has a digest, then its location. The list is shared: it must not be changed.
// Where the file blocks ref, the error says so.
func (c *Config) Sources(ref reference.Reference) ([]Endpoint, error) {
	r := c.rewrite(ref)
	if ref.Digest != "" {
		return r.digested, r.err
	}
	return r.tagged, r.err
}

// Destination is where to write ref: its location, never a mirror. Where the file blocks ref, the error says so.
func (c *Config) Destination(ref reference.Reference) (Endpoint, error) {
	r := c.rewrite(ref)
	if r.err != nil {
		return Endpoint{}, r.err
	}
	return r.tagged[len(r.tagged)-1], nil
}

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

// find asks the library: nil where the file says nothing of the repository.
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
		return &rewrite{err: fmt.Errorf("%s is blocked: registries.conf %q blocks the prefix %q", name, c.path, registry.Prefix)}
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
