package mirror

import (
	"imagemirror/internal/manifest"
	"imagemirror/internal/registry"
)

// A repo is a destination repository.
type repo struct {
	to        *registry.Repository
	queue     *uploadQueue
	blobs     map[blobID]*wantedBlob
	manifests map[manifestID]*wantedManifest
	lists     map[string]*referrersList // by the digest of their subject; see listsAt
	current   []*wantedManifest         // that jobs only bring attachments for
	first     firstPush
}

// A manifestID is a manifest that a set wants.
type manifestID struct {
	digest string
	set    int
	there  bool // the repository has all that it leads to
	sparse bool // an index of which not all children are wanted
}

// A wantedManifest is a manifest that a repository has to have.
type wantedManifest struct {
	repo     *repo
	digest   string
	kind     string            // its media type
	missing  int               // blobs and children that are not in the repository yet
	children []*wantedManifest // manifests that it leads to
	parents  []*wantedManifest // indexes that lead to it
	jobs     []*jobState       // that want a tag on it, or just its digest
	needs    int               // jobs without an outcome, and parents that are needed
	current  bool              // it was there before the run, and is not pushed
	there    bool              // the registry has it
	err      error

	absent      int    // children that are not wanted
	firstAbsent string // the digest of the first of them

	attached  []*wantedManifest // manifests that travel with it
	followers []follower        // manifests that it travels with
	lists     []*referrersList  // that it will be in
	tags      []string          // that it gets as an attachment
	extra     map[string]error  // additional tags that were pushed, and what came of it
}

// content returns a manifest's content, which the graph does not hold: a plan may have 32 MiB for
// one image.
func (e *engine) content(m *wantedManifest) manifest.Raw {
	raw, _ := e.manifests(m.digest)
	// The media type that the source sent may be too general for another registry to accept.
	raw.MediaType = m.kind
	return raw
}

// neededLocked reports whether a job without an outcome needs the manifest.
func (m *wantedManifest) neededLocked() bool { return m.err == nil && m.needs > 0 }

// needLocked counts one more need of the manifest, of everything it leads to, and of what travels
// with it.
func (m *wantedManifest) needLocked() {
	m.needs++
	if m.needs == 1 {
		for _, child := range m.children {
			child.needLocked()
		}
		for _, a := range m.attached {
			a.needLocked()
		}
	}
}

// dropLocked takes back what needLocked counted.
func (m *wantedManifest) dropLocked() {
	m.needs--
	if m.needs == 0 {
		for _, child := range m.children {
			child.dropLocked()
		}
		for _, a := range m.attached {
			a.dropLocked()
		}
	}
}

// A wantedBlob is a blob that a repository has to have.
type wantedBlob struct {
	repo    *repo
	blob    *blob
	owner   *jobState         // the first that needed it
	settled bool              // the registry has it, or it failed
	waiting []*wantedManifest // that need it

	mountedFrom string // path that the registry says it mounted the blob from; "" if it was sent
}

// neededLocked reports whether a manifest still needs the blob.
func (w *wantedBlob) neededLocked() bool {
	for _, m := range w.waiting {
		if m.neededLocked() {
			return true
		}
	}
	return false
}

// A blobID is what a manifest states about a blob. A manifest that states a wrong size fails alone.
// Whoever knows the digest of a blob must not get it from the source of another set, nor by a mount
// from its destination.
type blobID struct {
	digest string
	size   int64
	set    int
}

// A blob is content that one or more repositories want.
type blob struct {
	blobID
	sources    []*registry.Repository
	registries []*registryBlob // sorted by registry
	byRegistry map[string]*registryBlob
}

// registry returns the registry that the blob is read from first.
func (b *blob) registry() string { return b.sources[0].Registry() }

// A registryBlob is a blob on one destination registry. One repository leads: it gets the blob by
// an upload, and the others by mounts.
type registryBlob struct {
	blob   *blob
	queue  *uploadQueue
	from   string // path of a repository on the registry that probably has it
	wanted []*wantedBlob
	leader int // index in wanted
}
