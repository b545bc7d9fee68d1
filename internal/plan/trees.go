package plan

import (
	"context"
	"fmt"
	"sync"

	"imagemirror/internal/manifest"
	"imagemirror/internal/registry"
	"imagemirror/internal/stream"
)

// trees are the manifests that were read, and what they lead to. Each digest is read once.
type trees struct {
	read func(stream.Manifest) // is told of each manifest, once

	mu        sync.Mutex
	manifests map[string]*fetched  // by digest
	failed    map[reading]*fetched // what a repository does not give is not asked of it again
}

// reading is of a manifest in a repository.
type reading struct{ repository, digest string }

// fetched is a manifest that is being, or has been, read.
type fetched struct {
	ready  chan struct{} // closed when what follows is there
	parsed manifest.Manifest
	size   int64
	err    error
}

// Bounds on what one image leads to.
const (
	maxManifests = 10_000 // in all
	maxBytes     = 32 << 20
)

// childrenAtOnce bounds the goroutines that an index starts; the registry's budget bounds the requests.
const childrenAtOnce = 16

// image is one image whose manifests are being read.
type image struct {
	*trees
	from *registry.Repository

	mu    sync.Mutex
	seen  map[string]bool // manifests that were begun, by digest
	bytes int64           // of those that were read
}

// need reads the manifest with a digest and all that it leads to, as far as they have not been read. known is the manifest
// where the caller has it already.
func (t *trees) need(ctx context.Context, from *registry.Repository, digest string, known *registry.Manifest) error {
	im := &image{trees: t, from: from, seen: map[string]bool{}}
	return im.need(ctx, manifest.Descriptor{Digest: digest}, known, 0)
}

func (im *image) need(ctx context.Context, d manifest.Descriptor, known *registry.Manifest, depth int) error {
	if depth > manifest.MaxDepth {
		return fmt.Errorf("the image has more than %d indexes within indexes", manifest.MaxDepth)
	}
	if again, err := im.begin(d.Digest); again || err != nil {
		return err
	}
	f := im.manifest(ctx, d.Digest, known)
	if f.err != nil {
		return f.err
	}
	if d.Size > 0 && d.Size != f.size {
		return fmt.Errorf("an index gives the manifest %s the size %d, and it has %d bytes", d.Digest, d.Size, f.size)
	}
	if err := im.add(f.size); err != nil {
		return err
	}
	return im.children(ctx, f.parsed.Children, depth)
}

// add counts what is kept in memory, and travels in the plan.
func (im *image) add(size int64) error {
	im.mu.Lock()
	defer im.mu.Unlock()
	im.bytes += size
	if im.bytes > maxBytes {
		return fmt.Errorf("the image leads to manifests of more than %d MiB", maxBytes>>20)
	}
	return nil
}

// begin notes a manifest of the image, and says whether it is one that was begun before.
func (im *image) begin(digest string) (again bool, err error) {
	im.mu.Lock()
	defer im.mu.Unlock()
	again = im.seen[digest]
	im.seen[digest] = true
	if len(im.seen) > maxManifests {
		return false, fmt.Errorf("the image leads to more than %d manifests", maxManifests)
	}
	return again, nil
}

// manifest returns a manifest that has been read, by whichever image needed it first.
func (im *image) manifest(ctx context.Context, digest string, known *registry.Manifest) *fetched {
	t := im.trees
	here := reading{im.from.Name(), digest}
	for {
		t.mu.Lock()
		f := t.manifests[digest]
		if f == nil {
			f = t.failed[here]
		}
		mine := f == nil
		if mine {
			f = &fetched{ready: make(chan struct{})}
			t.manifests[digest] = f
		}
		t.mu.Unlock()
		if mine {
			f.err = t.fetch(ctx, f, im.from, digest, known)
			if f.err != nil {
				t.fail(here, f)
			}
			close(f.ready)
			return f
		}
		<-f.ready
		if f.err == nil || ctx.Err() != nil {
			return f
		}
		// If it was another repository that did not give it, this one still may.
		if own := t.failure(here); own != nil {
			return own
		}
	}
}

// fail notes what could not be read. Images of other repositories may try it there.
func (t *trees) fail(r reading, f *fetched) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.manifests, r.digest)
	t.failed[r] = f
}

func (t *trees) failure(r reading) *fetched {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed[r]
}

func (t *trees) fetch(ctx context.Context, f *fetched, from *registry.Repository, digest string, known *registry.Manifest) error {
	if known == nil {
		m, err := from.Manifest(ctx, digest)
		if err != nil {
			return err
		}
		known = &m
	}
	parsed, err := manifest.Parse(known.MediaType, known.Content)
	if err != nil {
		return fmt.Errorf("%s@%s: %w", from.Name(), digest, err)
	}
	f.parsed, f.size = parsed, int64(len(known.Content))
	t.read(stream.Manifest{Digest: digest, MediaType: parsed.MediaType, Content: known.Content})
	return nil
}

func (im *image) children(ctx context.Context, children []manifest.Descriptor, depth int) error {
	var all sync.WaitGroup
	errs := make([]error, len(children))
	places := make(chan struct{}, childrenAtOnce)
	for i, d := range children {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			errs[i] = im.need(ctx, d, nil, depth+1)
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// walk calls visit for a manifest and all that it leads to, each once.
func (t *trees) walk(digest string, visit func(digest string, m manifest.Manifest)) {
	seen := map[string]bool{}
	var step func(string)
	step = func(d string) {
		f := t.manifests[d]
		if seen[d] || f == nil {
			return
		}
		seen[d] = true
		visit(d, f.parsed)
		for _, c := range f.parsed.Children {
			step(c.Digest)
		}
	}
	step(digest)
}

// blobs are those of a manifest and of all that it leads to.
func (t *trees) blobs(digest string, foreign bool) []manifest.Descriptor {
	var list []manifest.Descriptor
	t.walk(digest, func(_ string, m manifest.Manifest) {
		for _, d := range m.Blobs {
			if foreign || !d.Foreign() {
				list = append(list, d)
			}
		}
	})
	return list
}
