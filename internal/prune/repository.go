package prune

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"slices"
	"sync"

	"imagemirror/internal/digest"
	"imagemirror/internal/manifest"
	"imagemirror/internal/reference"
	"imagemirror/internal/regerror"
	"imagemirror/internal/registry"
)

const (
	// maxAsked bounds the tags of a repository that are asked for to find out whether one of them
	// leads to an image. In a larger repository, referrers stay.
	maxAsked = 2000
	// maxKept bounds the entries of indexes that are kept of a repository, 33 bytes each. In a
	// repository with more, referrers stay.
	maxKept = 200_000
)

// errManyEntries means that the indexes of a repository have more than maxKept entries.
var errManyEntries = errors.New("the repository's indexes list too many manifests")

// repositories are the repositories of tags. Each is opened once, and forgotten once all tags that
// are expected of it are done.
type repositories struct {
	client *registry.Client

	mu       sync.Mutex
	known    map[string]*repository
	expected map[string]int // tags that are not done, by repository
}

func newRepositories(c *registry.Client) repositories {
	return repositories{client: c, known: map[string]*repository{}, expected: map[string]int{}}
}

// expect announces a tag, for which done is called later.
func (l *repositories) expect(image reference.Reference) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expected[image.Name()]++
}

// done forgets the repository of a tag if it was the last one.
func (l *repositories) done(image reference.Reference) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name := image.Name()
	if l.expected[name]--; l.expected[name] == 0 {
		delete(l.known, name)
		delete(l.expected, name)
	}
}

// open returns the repository of an image.
func (l *repositories) open(ctx context.Context, image reference.Reference) (*repository, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name := image.Name()
	if r := l.known[name]; r != nil {
		return r, nil
	}
	to, err := l.client.Destination(ctx, image, true)
	if err != nil {
		return nil, err
	}
	l.known[name] = newRepository(to)
	return l.known[name], nil
}

// A repository remembers what its registry has told.
type repository struct {
	to *registry.Repository

	mu    sync.Mutex
	tags  []string
	err   error
	asked bool
	at    map[string]entry      // by tag; the zero entry if it does not exist
	below map[digestSum][]entry // what manifests list, by their digest
	kept  int                   // entries in below, or more than maxKept if some are not kept
}

type digestSum = [sha256.Size]byte

// An entry is what a tag points at, or what an index lists. A repository keeps many: they are
// smaller than descriptors.
type entry struct {
	sum  digestSum
	leaf bool // a manifest that lists no others
}

func newRepository(to *registry.Repository) *repository {
	return &repository{to: to, at: map[string]entry{}, below: map[digestSum][]entry{}}
}

// entryOf returns the entry for a descriptor. Media types that are not known may be indexes.
func entryOf(d manifest.Descriptor) entry {
	sum, _ := digest.Parse(d.Digest) // as package registry has checked
	return entry{sum, manifest.IsManifest(d.MediaType) && !manifest.IsIndex(d.MediaType)}
}

// list returns the tags of the repository, which are asked for once.
func (r *repository) list(ctx context.Context) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.asked {
		r.tags, r.err = r.to.Tags(ctx)
		r.asked = true
	}
	return r.tags, r.err
}

// forget notes that a tag was deleted.
func (r *repository) forget(tag string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tags = slices.DeleteFunc(r.tags, func(other string) bool { return other == tag })
	delete(r.at, tag)
}

// describe returns what a tag points at, or the zero entry if it does not exist. Each is asked for
// once.
func (r *repository) describe(ctx context.Context, tag string) (entry, error) {
	r.mu.Lock()
	at, known := r.at[tag]
	r.mu.Unlock()
	if known {
		return at, nil
	}
	found, err := r.to.Describe(ctx, tag)
	switch {
	case regerror.StatusOf(err) == http.StatusNotFound:
		at = entry{}
	case err != nil:
		return entry{}, err
	default:
		at = entryOf(found)
	}
	r.mu.Lock()
	r.at[tag] = at
	r.mu.Unlock()
	return at, nil
}

// children returns what a manifest lists. Each is read once. It returns errManyEntries if the
// repository has more than are kept.
func (r *repository) children(ctx context.Context, sum digestSum) ([]entry, error) {
	r.mu.Lock()
	below, known := r.below[sum]
	full := r.kept > maxKept
	r.mu.Unlock()
	switch {
	case known:
		return below, nil
	case full:
		return nil, errManyEntries
	}
	var bad error
	err := r.to.UseManifest(ctx, string(digest.Append(nil, sum)), func(raw manifest.Raw) {
		var parsed manifest.Manifest
		if parsed, bad = manifest.Parse(raw.MediaType, raw.Content); bad == nil {
			below = make([]entry, 0, len(parsed.Children))
			for _, d := range parsed.Children {
				below = append(below, entryOf(d))
			}
		}
	})
	if regerror.StatusOf(err) == http.StatusNotFound { // a sparse index lists manifests that do not exist
		err = nil
	}
	if err := errors.Join(err, bad); err != nil {
		return nil, err
	}
	return below, r.keep(sum, below)
}

// keep keeps what a manifest lists, or returns errManyEntries.
func (r *repository) keep(sum digestSum, below []entry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.below[sum]; known { // somebody else has read it at the same time
		return nil
	}
	if r.kept += max(1, len(below)); r.kept > maxKept {
		return errManyEntries
	}
	r.below[sum] = below
	return nil
}

// alone reports whether the only tags that lead to an image are t itself and those that are deleted
// with it.
func (r *repository) alone(ctx context.Context, image string, t Tag, tags []string) bool {
	mine := map[string]bool{}
	if at, err := reference.Parse(t.Tag); err == nil {
		mine[at.Tag] = true
	}
	for _, w := range t.With {
		mine[w.Tag] = true
	}
	return !r.leads(ctx, image, tags, mine)
}

// isTagged reports whether a tag leads to a manifest, other than those that are deleted.
func (r *repository) isTagged(ctx context.Context, digest string, with []With, tags []string) bool {
	mine := map[string]bool{}
	for _, w := range with {
		mine[w.Tag] = true
	}
	return r.leads(ctx, digest, tags, mine)
}

// leads reports whether one of the tags leads to a digest, itself or by way of an index, or may. It
// asks for each that is not in except.
func (r *repository) leads(ctx context.Context, to string, tags []string, except map[string]bool) bool {
	sum, valid := digest.Parse(to)
	if !valid || len(tags) > maxAsked {
		return true
	}
	without := map[digestSum]bool{}
	for _, tag := range tags {
		if except[tag] {
			continue
		}
		if at, err := r.describe(ctx, tag); err != nil || r.has(ctx, at, sum, without, 0) {
			return true
		}
	}
	return false
}

// has reports whether a manifest is the one with a digest, or an index that lists it at some level,
// or may be. without has the indexes that are known not to: many may list the same ones.
func (r *repository) has(ctx context.Context, at entry, sum digestSum, without map[digestSum]bool, depth int) bool {
	switch {
	case without[at.sum]:
		return false
	case at.sum == sum || depth > manifest.MaxDepth:
		return true
	case at == entry{} || at.leaf:
		return false
	}
	children, err := r.children(ctx, at.sum)
	if err != nil || slices.ContainsFunc(children, func(e entry) bool { return r.has(ctx, e, sum, without, depth+1) }) {
		return true
	}
	without[at.sum] = true
	return false
}
