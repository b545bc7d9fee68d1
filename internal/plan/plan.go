// Package plan makes the plan of a run: it asks the registries what is there, pins each source to a digest, and records
// what is settled and what has to move. It keeps the manifests that it reads on the way, so that copy reads none again.
//
// A destination is asked first. If its tag is there, the source is only asked for its digest, so a run that finds nothing
// to do costs two requests a mapping. If it is not, the source's manifest is read at once. Last, the destinations that
// need something are asked whether they accept pushes.
package plan

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"iter"
	"slices"
	"time"

	"imagemirror/internal/imageset"
	"imagemirror/internal/manifest"
	"imagemirror/internal/reference"
	"imagemirror/internal/registry"
	"imagemirror/internal/shard"
	"imagemirror/internal/stream"
)

// ErrInterrupted is the error of the mappings that were not resolved when the run was told to stop.
var ErrInterrupted = stream.WithAdvice("interrupted before the registries were asked", "run again")

// Options are what a plan needs besides the image sets.
type Options struct {
	Client  *registry.Client
	Foreign bool       // counts layers that are not for redistribution as bytes to move
	Cap     stream.Cap // what all copies of the plan together may ask of one registry

	// Warnings are what the report shows about the files, as imageset.Input has them.
	Warnings []string

	Progress *Progress // what Make counts up; may be nil
}

// A Plan is what a run has to do. It does not change once it is made. Written with stream.Write it is the plan in one
// piece; Cut divides it.
type Plan struct {
	stream.Content
	archive *manifest.Archive
	routes  []copyRoute // by copy
}

// copyRoute is where a copy goes and which registries it asks.
type copyRoute struct {
	repository string // HOST/PATH of the destination
	registries []string
}

// target is one mapping on its way to a result or a copy.
type target struct {
	stream.Mapping
	source, destination reference.Reference
	from, to            *registry.Repository
	old                 string // the destination's digest, if it has the tag
	digest              string // the source's
	err                 error
	settled             bool // current or failed; otherwise it is copied
	immutable           bool // the destination's tag never moves once it is there
}

// Make asks the registries about the sets' mappings. If ctx ends it returns ErrInterrupted and a plan that is whole all the
// same: the mappings that were not resolved have failed in it.
func Make(ctx context.Context, o Options, sets []*imageset.Set) (*Plan, error) {
	started := time.Now().UTC()
	if o.Progress == nil {
		o.Progress = &Progress{}
	}
	r := &resolver{Options: o, trees: newTrees()}
	targets := r.expand(ctx, sets)
	o.Progress.mappings.Store(int64(len(targets)))
	r.resolve(ctx, targets)
	r.preflight(ctx, targets)
	p := &Plan{archive: r.trees.archive}
	p.Header = stream.Header{
		Version: stream.Version, Stream: stream.Plan, Run: newRun(), Mappings: len(targets),
		Started: started, Cap: o.Cap, Warnings: o.warnings(),
	}
	p.Sets = records(sets)
	for _, t := range targets {
		p.Mappings = append(p.Mappings, t.Mapping)
		if t.settled {
			p.Results = append(p.Results, t.result())
		}
	}
	r.addCopies(p, targets)
	p.Manifests = p.manifests(p.Copies)
	if ctx.Err() != nil {
		return p, ErrInterrupted
	}
	return p, nil
}

// manifests yields what copies need, each manifest once.
func (p *Plan) manifests(copies []stream.Copy) iter.Seq[manifest.Raw] {
	return func(yield func(manifest.Raw) bool) {
		seen := map[manifest.Ref]bool{}
		for _, c := range copies {
			for _, ref := range p.archive.Tree(c.Digest) {
				if seen[ref] {
					continue
				}
				seen[ref] = true
				mediaType, content := p.archive.Content(ref)
				if !yield(manifest.Raw{Digest: p.archive.Digest(ref), MediaType: mediaType, Content: content}) {
					return
				}
			}
		}
	}
}

// Count returns how many mappings are settled with a status.
func (p *Plan) Count(status string) int {
	n := 0
	for _, r := range p.Results {
		if r.Status == status {
			n++
		}
	}
	return n
}

// Bytes returns how many bytes the copies will move.
func (p *Plan) Bytes() int64 {
	var n int64
	for _, c := range p.Copies {
		n = shard.AddSizes(n, c.Bytes)
	}
	return n
}

// maxWarnings bounds the warnings that travel with a plan. Hostile files may have as many as lines.
const maxWarnings = 100

func (o Options) warnings() []string {
	n := len(o.Warnings) - maxWarnings
	if n <= 0 {
		return o.Warnings
	}
	return append(slices.Clone(o.Warnings[:maxWarnings]), fmt.Sprintf("and %d warnings more: split -check shows all", n))
}

func records(sets []*imageset.Set) []stream.Set {
	var list []stream.Set
	for _, s := range sets {
		list = append(list, stream.Set{Name: s.Name, Owners: s.Owners, Notify: s.Settings.Notify})
	}
	return list
}

// newRun names a run: 16 random hexadecimal digits.
func newRun() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(b[:])
}

// addCopies adds what has to move, in the order of the mappings, with the bytes that each copy adds.
func (r *resolver) addCopies(p *Plan, targets []*target) {
	known := holders(targets)
	brought := map[string]refSet{} // by registry: blobs that an earlier copy brings
	for _, t := range targets {
		if t.settled {
			continue
		}
		at := t.to.Registry()
		if brought[at] == nil {
			brought[at] = newRefSet(p.archive)
		}
		c := stream.Copy{ID: t.ID, Digest: t.digest, Old: t.old, Immutable: t.immutable}
		if path := known[holding{at, t.digest}]; path != "" && path != t.to.Path() {
			c.MountFrom = []string{path}
		}
		for _, m := range p.archive.Tree(t.digest) {
			for _, b := range p.archive.Blobs(m) {
				if (r.Foreign || !b.Foreign) && brought[at].add(b.Ref) {
					c.Bytes = shard.AddSizes(c.Bytes, b.Size)
				}
			}
		}
		p.Copies = append(p.Copies, c)
		p.routes = append(p.routes, copyRoute{t.destination.Name(), slices.Concat(t.from.Registries(), t.to.Registries())})
	}
}

// holding is a digest on a registry.
type holding struct{ registry, digest string }

// holders returns paths of repositories that have a digest already, as their tags showed.
func holders(targets []*target) map[holding]string {
	known := map[holding]string{}
	for _, t := range targets {
		if t.old != "" && t.to != nil {
			known[holding{t.to.Registry(), t.old}] = t.to.Path()
		}
	}
	return known
}

// refSet is a set of an archive's Refs, one bit for each: a plan may have a million.
type refSet []uint64

func newRefSet(a *manifest.Archive) refSet { return make(refSet, (a.Len()+63)/64) }

// add adds a Ref and reports whether it is new.
func (s refSet) add(ref manifest.Ref) bool {
	word, bit := ref/64, uint64(1)<<(ref%64)
	if s[word]&bit != 0 {
		return false
	}
	s[word] |= bit
	return true
}
