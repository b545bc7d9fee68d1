package manifest

import (
	"fmt"
	"iter"
	"math"
	"slices"
	"sync"
)

// An Archive holds the manifests of a plan, and the blobs that each one refers to, in about a
// third of the memory that their text alone would take. It holds each digest once, as a
// number and 32 bytes, and compresses the rest.
//
// It keeps nothing on disk. A pod's root filesystem is read-only, and a volume would count as
// memory or need a quota of its own.
//
// Its methods are safe for concurrent use.
type Archive struct {
	mu      sync.Mutex
	digests digests
	records map[Ref]archivedManifest
	packer  packer
	slab    slab
	blobs   []byte // reused by AddWithin
}

// A Ref is the number of a digest in an Archive, of a manifest or of a blob. Refs count from 0.
type Ref uint32

// An ArchivedBlob is a blob that a manifest refers to.
type ArchivedBlob struct {
	Ref
	Size    int64 // in bytes; the largest that any manifest gives
	Foreign bool
}

// An archivedManifest is what an Archive holds of one manifest.
type archivedManifest struct {
	kind     mediaKind
	size     int // of the content
	packed   packed
	children []childRef
	blobs    blobRefs
	claimed  int64 // sum of the sizes of blobs; MaxSize has no room for as many as overflow it
}

// A childRef is a child as its index announces it.
type childRef struct {
	Ref
	kind mediaKind
	size int64
}

// A mediaKind is the number of a media type in kinds. It takes less memory than a string, and keeps
// no parsed content alive.
type mediaKind uint8

var kinds = [...]string{"", DockerManifest, DockerList, OCIManifest, OCIIndex, OCIArtifact, ORASArtifact}

func kindOf(mediaType string) mediaKind { return mediaKind(max(0, slices.Index(kinds[:], mediaType))) }

// NewArchive makes an empty Archive.
func NewArchive() *Archive {
	return &Archive{digests: newDigests(), records: map[Ref]archivedManifest{}, packer: newPacker()}
}

// Add adds a manifest, unless the Archive has it, and returns its Ref. parsed is what Parse
// returned for the content.
func (a *Archive) Add(digest string, content []byte, parsed Manifest) Ref {
	ref, _, _ := a.AddWithin(digest, content, parsed, math.MaxInt64)
	return ref
}

// What a manifest takes, about, besides its packed content and what it refers to; what a digest
// takes, and what the size of a large blob takes besides; all in bytes.
const (
	recordSize = 200
	digestSize = 44
	largeSize  = 32
)

// AddWithin adds a manifest as Add does, but only if it takes at most room bytes of memory. It
// returns how many it takes, about, and whether the Archive has it.
func (a *Archive) AddWithin(digest string, content []byte, parsed Manifest, room int64) (ref Ref, takes int64, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	ref = a.digests.add(digest)
	if _, known := a.records[ref]; known {
		return ref, 0, true
	}
	digests, large := a.digests.len(), len(a.digests.large)
	r := archivedManifest{kind: kindOf(parsed.MediaType), size: len(content), packed: a.packer.pack(content, &a.digests)}
	for _, d := range parsed.Children {
		r.children = append(r.children, childRef{a.digests.add(d.Digest), kindOf(d.MediaType), d.Size})
	}
	r.blobs = blobRefs{text: a.blobs[:0]}
	for _, d := range parsed.Blobs {
		blob := a.digests.add(d.Digest)
		a.digests.grow(blob, d.Size)
		r.claimed += d.Size
		r.blobs.add(blob, d.Foreign())
	}
	a.blobs = r.blobs.text
	takes = recordSize + int64(len(r.packed.text)+24*len(r.children)+len(r.blobs.text)+
		digestSize*(a.digests.len()-digests)+largeSize*(len(a.digests.large)-large))
	if takes > room {
		return ref, takes, false
	}
	r.packed.text, r.blobs.text = a.slab.keep(r.packed.text), a.slab.keep(r.blobs.text)
	a.records[ref] = r
	return ref, takes, true
}

// All yields manifests of the Archive.
func (a *Archive) All(refs []Ref) iter.Seq[Raw] {
	return func(yield func(Raw) bool) {
		for _, ref := range refs {
			if !yield(a.Raw(ref)) {
				return
			}
		}
	}
}

// Raw returns a manifest unchanged. It panics if the Archive does not have it.
func (a *Archive) Raw(ref Ref) Raw {
	mediaType, content := a.Content(ref)
	return Raw{Digest: a.Digest(ref), MediaType: mediaType, Content: content}
}

// Find returns the Ref and the size of a manifest. It reports whether the Archive has it.
func (a *Archive) Find(digest string) (ref Ref, size int64, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if ref, ok = a.digests.find(digest); !ok {
		return 0, 0, false
	}
	r, ok := a.records[ref]
	return ref, int64(r.size), ok
}

// Len returns the number of digests: every Ref is less.
func (a *Archive) Len() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.digests.len()
}

// Digest returns the digest that a Ref stands for.
func (a *Archive) Digest(ref Ref) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.digests.text(ref)
}

// Prefix returns the first 8 bytes of the digest that a Ref stands for.
func (a *Archive) Prefix(ref Ref) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.digests.prefix(ref)
}

// Children returns the digests of the manifests that an index lists. It returns nil for a
// manifest of any other type.
func (a *Archive) Children(ref Ref) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []string
	for _, c := range a.records[ref].children {
		list = append(list, a.digests.text(c.Ref))
	}
	return list
}

// Blobs returns the blobs that a manifest refers to, each once, without those of its children.
func (a *Archive) Blobs(ref Ref) []ArchivedBlob {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.records[ref]
	list := make([]ArchivedBlob, 0, r.blobs.count)
	for ref, foreign := range r.blobs.all() {
		list = append(list, ArchivedBlob{Ref: ref, Size: a.digests.size(ref), Foreign: foreign})
	}
	return list
}

// Weigh returns how many blobs Blobs returns, and the sum of their sizes as the manifest itself
// gives them.
func (a *Archive) Weigh(ref Ref) (blobs int, size int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.records[ref]
	return r.blobs.count, r.claimed
}

// Tree returns manifests and everything below them, each once and parents before children. It
// leaves out what the Archive does not have.
func (a *Archive) Tree(roots ...string) []Ref {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.treeLocked(roots...)
}

// Check fails if an index in a Tree announces a child with another size or media type than it
// has. Its errors are like those of Parse.
func (a *Archive) Check(digest string) error {
	return a.CheckTree(a.Tree(digest))
}

// CheckTree fails as Check does, and asks only about children that are in the tree.
func (a *Archive) CheckTree(tree []Ref) error {
	within := map[Ref]bool{}
	for _, ref := range tree {
		within[ref] = true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, index := range tree {
		for _, c := range a.records[index].children {
			child := a.records[c.Ref]
			switch {
			case !within[c.Ref]:
			case c.size != 0 && c.size != int64(child.size):
				return refuse(ofImage, "the index %s gives %s the size %d, but it has %d bytes",
					a.digests.text(index), a.digests.text(c.Ref), c.size, child.size)
			case c.kind != child.kind:
				return refuse(ofImage, "the index %s gives %s the media type %q, but it has %q",
					a.digests.text(index), a.digests.text(c.Ref), kinds[c.kind], kinds[child.kind])
			}
		}
	}
	return nil
}

func (a *Archive) treeLocked(roots ...string) []Ref {
	var tree []Ref
	seen := map[Ref]bool{}
	add := func(ref Ref) {
		if _, has := a.records[ref]; has && !seen[ref] {
			seen[ref] = true
			tree = append(tree, ref)
		}
	}
	for _, digest := range roots {
		if root, ok := a.digests.find(digest); ok {
			add(root)
		}
	}
	for i := 0; i < len(tree); i++ {
		for _, c := range a.records[tree[i]].children {
			add(c.Ref)
		}
	}
	return tree
}

// MediaType returns the media type of a manifest, or "" if the Archive does not have it.
func (a *Archive) MediaType(ref Ref) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return kinds[a.records[ref].kind]
}

// Content returns a manifest unchanged. It panics if the Archive does not have it.
func (a *Archive) Content(ref Ref) (mediaType string, content []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, ok := a.records[ref]
	if !ok {
		panic(fmt.Sprintf("manifest: the archive does not have %s", a.digests.text(ref)))
	}
	return kinds[r.kind], a.packer.unpack(r.packed, r.size, &a.digests)
}
