package plan

import (
	"context"
	"regexp"
	"sync"

	"imagemirror/internal/manifest"
	"imagemirror/internal/registry"
)

// companion matches the tags that refer to an image by its digest: cosign's, and those of the
// index of referrers in a registry without the referrers API.
var companion = regexp.MustCompile(`^sha256-[0-9a-f]{64}(\.sig|\.att|\.sbom)?$`)

// cosignKinds are the endings of cosign's tags, and what is under them
// (github.com/sigstore/cosign, specs/SIGNATURE_SPEC.md).
var cosignKinds = []cosignKind{
	{".sig", "signature"}, {".att", "attestation"}, {".sbom", "sbom"},
}

// A cosignKind is an ending of cosign's tags, and what is under them.
type cosignKind struct{ suffix, kind string }

// Bounds on what it costs to find the companions of a repository's images.
const (
	fewestPages    = 10 // that a list of tags may have in any case
	pagesPerImage  = 3  // for each image: more requests than that are worth asking for its tags
	unlistedAtMost = 2  // tags that may fail to be read before the others are skipped
)

// companions are the tags of a repository that match companion.
type companions struct {
	once   sync.Once
	tags   map[string]bool
	listed bool // the registry lists the repository's tags

	mu     sync.Mutex
	failed int   // tags that nobody has listed and that could not be read
	err    error // of the last of these
}

// presence returns what is known of a tag.
func (c *companions) presence(tag string) registry.Presence {
	switch {
	case !c.listed:
		return registry.Unlisted
	case c.tags[tag]:
		return registry.Present
	}
	return registry.Absent
}

// hopeless returns why tags that nobody has listed are no longer asked for, or nil.
func (c *companions) hopeless() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed < unlistedAtMost {
		return nil
	}
	return c.err
}

// use reads the manifest under a tag, if there is one.
func (c *companions) use(ctx context.Context, from *registry.Repository, tag string, use func(manifest.Raw)) (there bool, err error) {
	switch c.presence(tag) {
	case registry.Absent:
		return false, nil
	case registry.Present:
		err = from.UseManifest(ctx, tag, use)
		return err == nil, err
	}
	if err := c.hopeless(); err != nil {
		return false, err
	}
	there, err = from.UseIfThere(ctx, tag, use)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.failed++
		c.err = err
	}
	return there, err
}

// companionsOf lists the companion tags of a repository, with one list of tags for all images.
func (r *resolver) companionsOf(ctx context.Context, from *registry.Repository) *companions {
	return r.companionsIn(from, func() ([]string, error) {
		r.mu.Lock()
		images := r.images[from.Name()]
		r.mu.Unlock()
		return from.TagsWithin(ctx, max(fewestPages, pagesPerImage*images))
	})
}

// companionsIn returns the companion tags of a repository. It calls list if they are not known.
func (r *resolver) companionsIn(from *registry.Repository, list func() ([]string, error)) *companions {
	r.mu.Lock()
	c := r.companions[from.Name()]
	if c == nil {
		c = &companions{tags: map[string]bool{}}
		r.companions[from.Name()] = c
	}
	r.mu.Unlock()
	c.once.Do(func() {
		tags, err := list()
		c.listed = err == nil
		for _, tag := range tags {
			if companion.MatchString(tag) {
				c.tags[tag] = true
			}
		}
	})
	return c
}

// countImage counts an image of a source repository.
func (r *resolver) countImage(from *registry.Repository) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.images[from.Name()]++
}
