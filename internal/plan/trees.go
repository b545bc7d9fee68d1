package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"imagemirror/internal/fault"
	"imagemirror/internal/manifest"
	"imagemirror/internal/reference"
	"imagemirror/internal/registry"
)

// trees reads manifests into an archive. It reads each digest once for each set, from the first
// repository that needs it. Whoever knows the digest of a manifest must not get it from the source
// of another set.
type trees struct {
	archive  *manifest.Archive
	budget   archiveBudget
	patience time.Duration // how long a manifest is waited for that another repository is asked for

	apart bool // there are several sets

	choosing sync.Mutex // held while a large index is unpacked to choose from it

	mu        sync.Mutex
	has       map[owned]bool         // what each set has read, if there are several
	rewritten map[string]bool        // indexes that no source has, by digest
	reading   map[string]*fetched    // by digest
	failed    map[placement]*fetched // a repository is not asked again for what it failed to send
}

// A placement is a manifest in a repository.
type placement struct{ repository, digest string }

// An owned is a manifest that a set has read.
type owned struct{ set, digest string }

// A fetched is a manifest that is being read, or could not be read.
type fetched struct {
	from  string        // repository
	ready chan struct{} // closed when the manifest is in the archive or err is set
	err   error
}

func newTrees() *trees {
	return &trees{archive: manifest.NewArchive(), budget: archiveBudget{room: maxPlan, taken: map[string]int64{}}, has: map[owned]bool{}, rewritten: map[string]bool{}, reading: map[string]*fetched{}, failed: map[placement]*fetched{}}
}

// Bounds on one image.
const (
	maxManifests = 10_000   // at all depths
	maxBytes     = 32 << 20 // of manifests
	maxBlobs     = 40_000   // entries for configs and layers, in all manifests
	maxSize      = 64 << 40 // bytes of blobs, as these entries claim
)

// childrenAtOnce bounds the goroutines that an index starts. The slots of its registry bound
// the requests.
const childrenAtOnce = 16

// An imageTree is one image whose manifests are being read.
type imageTree struct {
	*trees
	from *registry.Repository
	sets []string // that the image is for

	mu    sync.Mutex
	seen  map[string]bool // manifests that were visited, by digest
	bytes int64           // of those that were read
	blobs int             // entries of those that were read
	size  int64           // of the blobs, as their entries claim
	taken int64           // of the budget; guarded by that
	ended func()          // ends the pulls from its registry, if they began
}

// An archived tells what became of a manifest that the archive was given: err is nil if it has it.
type archived struct{ err error }

func (t *trees) image(from *registry.Repository, sets []string) *imageTree {
	return &imageTree{trees: t, from: from, sets: sets, seen: map[string]bool{}}
}

// all reads a manifest and everything below it into the archive, unless it is there. known is nil
// unless the manifest was read already.
func (im *imageTree) all(ctx context.Context, digest string, known *archived) error {
	if err := im.need(ctx, digest, known, 0); err != nil {
		return explainChild(im.first(digest, err), digest)
	}
	if err := im.archive.Check(digest); err != nil {
		return im.from.BadManifest(digest, err)
	}
	return nil
}

// tooLarge returns the error of an image that exceeds a bound.
func (im *imageTree) tooLarge(format string, args ...any) error {
	what := "reading manifests of " + im.from.Name() + " at the source: "
	return fault.New(fault.Fault{
		Kind: fault.TooLarge, Side: reference.Source, Host: im.from.Registry(),
		Advice: "mirror the parts of the image by themselves, or rebuild it with fewer",
	}, what+fmt.Sprintf(format, args...))
}

// tooDeep returns the error of an image with too many levels of indexes.
func (im *imageTree) tooDeep() error {
	return im.tooLarge("the image has more than %d levels of nested indexes", manifest.MaxDepth)
}

// first returns the error of the first manifest that could not be read, in the order of the
// image, or err if none is known. Manifests are read at once, so another one may fail first
// in each run.
func (im *imageTree) first(digest string, err error) error {
	for _, ref := range im.archive.Tree(digest) {
		for _, c := range im.archive.Children(ref) {
			if f := im.failure(placement{im.from.Name(), c}); f != nil {
				return f.err
			}
		}
	}
	return err
}

func (im *imageTree) need(ctx context.Context, digest string, known *archived, depth int) error {
	if depth > manifest.MaxDepth {
		return im.tooDeep()
	}
	if again, err := im.visit(digest); again || err != nil {
		return err
	}
	if err := im.read(ctx, placement{im.from.Name(), digest}, known); err != nil {
		return err
	}
	ref, size, _ := im.archive.Find(digest)
	if err := im.add(ref, size); err != nil {
		return err
	}
	children := im.archive.Children(ref)
	if im.from.KeepsReserve() {
		if err := im.from.AllowsPulls(im.unread(children)); err != nil {
			return err
		}
	}
	return im.children(ctx, children, depth)
}

// add counts a manifest of size bytes, which the plan keeps, and the blobs that copy will hold a
// record of.
func (im *imageTree) add(ref manifest.Ref, size int64) error {
	blobs, claimed := im.archive.Weigh(ref)
	im.mu.Lock()
	defer im.mu.Unlock()
	im.bytes += size
	im.blobs += blobs
	im.size += claimed // at most maxBlobs of manifest.MaxBlob before the check
	switch {
	case im.bytes > maxBytes:
		return im.tooLarge("the manifests of the image have more than %d MiB", maxBytes>>20)
	case im.blobs > maxBlobs:
		return im.tooLarge("the manifests of the image list more than %d layers and configs", maxBlobs)
	case im.size > maxSize:
		return im.tooLarge("the layers of the image have more than %d TiB", maxSize>>40)
	}
	return nil
}

// visit records a manifest of the image and reports whether it was visited before.
func (im *imageTree) visit(digest string) (again bool, err error) {
	im.mu.Lock()
	defer im.mu.Unlock()
	again = im.seen[digest]
	im.seen[digest] = true
	if len(im.seen) > maxManifests {
		return false, im.tooLarge("the image has more than %d manifests", maxManifests)
	}
	return again, nil
}

// read reads a manifest into the archive. If another image is reading it, read waits for that.
func (im *imageTree) read(ctx context.Context, at placement, known *archived) error {
	for {
		f, mine := im.begin(at)
		if f == nil {
			return nil
		}
		if mine {
			f.err = im.fetch(ctx, at.digest, known)
			im.end(at, f)
			return f.err
		}
		if !im.await(f, at) {
			return im.fetch(ctx, at.digest, known)
		}
		// If another repository failed to send the manifest, this one may still have it.
		if own := im.failure(at); own != nil {
			return own.err
		}
		if f.err != nil && ctx.Err() != nil {
			return f.err
		}
	}
}

// await waits for a manifest, and reports whether the wait is over. Another repository that is
// slow to send it is not waited for.
func (t *trees) await(f *fetched, at placement) bool {
	if f.from == at.repository {
		<-f.ready
		return true
	}
	enough := time.NewTimer(t.patience)
	defer enough.Stop()
	select {
	case <-f.ready:
		return true
	case <-enough.C:
		return false
	}
}

// begin returns nil if the archive has the manifest, and the image's sets have read it. Otherwise
// mine reports whether the caller has to read it.
func (im *imageTree) begin(at placement) (f *fetched, mine bool) {
	im.trees.mu.Lock()
	defer im.trees.mu.Unlock()
	if f = im.failed[at]; f != nil {
		return f, false
	}
	if f = im.reading[at.digest]; f != nil {
		return f, false
	}
	if _, _, ok := im.archive.Find(at.digest); ok && im.ownsLocked(at.digest) {
		return nil, false
	}
	f = &fetched{from: at.repository, ready: make(chan struct{})}
	im.reading[at.digest] = f
	return f, true
}

// ownsLocked reports whether all sets of the image have read a manifest.
func (im *imageTree) ownsLocked(digest string) bool {
	return !im.apart || !slices.ContainsFunc(im.sets, func(set string) bool { return !im.has[owned{set, digest}] })
}

func (im *imageTree) end(at placement, f *fetched) {
	im.trees.mu.Lock()
	defer im.trees.mu.Unlock()
	delete(im.reading, at.digest)
	if im.apart && f.err == nil {
		for _, set := range im.sets {
			im.has[owned{set, at.digest}] = true
		}
	}
	if f.err != nil && !errors.As(f.err, new(overError)) { // another image may have room for it
		im.failed[at] = f
	}
	close(f.ready)
}

func (t *trees) failure(at placement) *fetched {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed[at]
}

func (im *imageTree) fetch(ctx context.Context, digest string, known *archived) error {
	if known != nil {
		return known.err
	}
	var kept error
	err := im.from.UseManifest(ctx, digest, func(m manifest.Raw) { kept = im.keep(m) })
	return cmp.Or(err, kept)
}

// keep adds a manifest of the image to the archive.
func (im *imageTree) keep(m manifest.Raw) error {
	_, err := im.keepParsed(m)
	return err
}

// keepParsed does what keep does, and returns what the manifest says.
func (im *imageTree) keepParsed(m manifest.Raw) (manifest.Manifest, error) {
	parsed, err := manifest.Parse(m.MediaType, m.Content)
	if err != nil {
		return parsed, im.from.BadManifest(m.Digest, err)
	}
	return parsed, im.budget.add(im, m.Digest, m.Content, parsed)
}

func (im *imageTree) children(ctx context.Context, children []string, depth int) error {
	var all sync.WaitGroup
	errs := make([]error, len(children))
	places := make(chan struct{}, childrenAtOnce)
	for i, c := range children {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			errs[i] = im.need(ctx, c, nil, depth+1)
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
