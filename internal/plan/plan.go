// Package plan makes the plan of a run. It asks the registries what they have, pins each
// source to a digest, and records which mappings are settled and which have to be copied. It
// keeps the manifests that it reads, so that copy need not read them again.
//
// It asks the destination first. If the tag exists there, it asks the source only for the
// digest, so a run with nothing to do costs two requests per mapping. If not, it reads the
// source's manifest at once. While manifests are read, it asks whether the destinations of
// copies accept pushes. A source's registry need not wait for the destination to find out how
// it authenticates: see greeting.
package plan

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"imagemirror/internal/fault"
	"imagemirror/internal/imageset"
	"imagemirror/internal/manifest"
	"imagemirror/internal/record"
	"imagemirror/internal/reference"
	"imagemirror/internal/registry"
	"imagemirror/internal/settings"
	"imagemirror/internal/shard"
	"imagemirror/internal/stream"
	"imagemirror/internal/text"
	"imagemirror/internal/verify"
)

// ErrInterrupted is the error of mappings that were not resolved before the run was
// interrupted.
var ErrInterrupted = fault.New(fault.Fault{Kind: fault.Unfinished, Advice: "run again"}, "interrupted before the registries were asked")

// Options are what a plan needs besides the image sets.
type Options struct {
	Client  *registry.Client
	Foreign bool       // count the bytes of layers that may not be redistributed
	Cap     stream.Cap // bounds the requests of all copies together to one registry
	Limits

	// Warnings about the files, as "file:line: message", for the report.
	Warnings []string

	Progress *Progress // updated by Make; may be nil

	// Recall returns what earlier runs recorded of a set; nil if no records are kept.
	Recall record.Recaller

	// Ready is told of a copy while the plan is being made, with the digests of the blobs that it
	// needs. It is called in the order of the mappings, one call at a time, and not for all copies.
	// It must not block, and returns whether it wants more of them. It may be nil.
	Ready func(to reference.Reference, blobs []string) bool
}

// A Plan is what a run has to do. It does not change after Make. stream.Write writes it in
// one piece, and Cut divides it into shards.
type Plan struct {
	stream.Content
	archive *manifest.Archive
	routes  []copyRoute // by copy
}

// A copyRoute is the destination of a copy and the registries that it uses.
type copyRoute struct {
	repository string // HOST/PATH of the destination, where registries.conf says it is
	registries []string
}

// A target is one mapping that will become a result or a copy.
type target struct {
	stream.Mapping
	source, destination reference.Reference
	from, to            *registry.Repository
	batch               int      // its number: see targets
	asked               question // the last one
	old                 string   // digest of the destination's tag, if it exists
	single              bool     // the destination says that old is no index
	digest              string   // digest of the source
	err                 error
	settled             bool            // current or failed; otherwise it is copied
	immutable           bool            // the destination's tag never moves once it is there
	copying             bool            // it is copied unless its source fails
	undecided           *sync.WaitGroup // counts the target until copying is known
	refused             error           // why its destination accepts no push
	noted, copied       bool            // see ahead
	checked             bool            // refused is known, if the target is copied
	referrers           settings.Referrers
	public              bool           // strangers have to be able to pull it
	answer              *stream.Public // what they get, if that was asked
	platforms           settings.Platforms
	part                part                // what it gets of its source, once that is read
	attached            []stream.Attachment // what travels with it
	sought              bool                // attached is what was found for a copy
	recorded            *record.Destination // what earlier runs recorded of it, or nil
	unread              error               // why that is not known
	settings            *settings.Settings  // of its set
	tags                []stream.ExtraTag   // that it gets besides
	demands             []*verify.Demand    // on its image
	keep                *stream.ExtraTag    // that what its tag points at gets before it moves
	held                string              // why it is not moved, if it is held
	fromRecord          bool                // it is settled by that
	takeover            error               // why a check doubts that the tag is this mapping's
}

// Make plans the mappings of the sets. If ctx ends, it returns ErrInterrupted and a complete
// plan in which the mappings that were not resolved have failed. After the deadline, these fail
// alone.
func Make(ctx context.Context, o Options, sets []*imageset.Set) (*Plan, error) {
	r := newResolver(o)
	r.trees.patience, r.trees.apart = r.patience(), len(sets) > 1
	asking, cancel := o.within(ctx)
	defer cancel()
	r.recall(asking, sets)
	targets := r.targets(asking, sets, func(batch []*target) {
		r.Progress.mappings.Add(int64(len(batch)))
		r.resolve(asking, batch)
	})
	p := &Plan{archive: r.trees.archive}
	p.Header = stream.Header{
		Version: stream.Version, Stream: stream.Plan, Run: newRun(r.started), Mappings: len(targets),
		Started: r.started, Cap: o.Cap, Warnings: o.warnings(r.unread()),
	}
	p.Sets, p.Selected = records(sets), r.selected
	r.contestTags(targets)
	for _, t := range targets {
		p.Mappings = append(p.Mappings, t.Mapping)
		if t.settled {
			p.Results = append(p.Results, t.result())
		}
	}
	for _, t := range o.Client.Traffic() {
		p.Traffic = append(p.Traffic, stream.Traffic(t))
	}
	r.addCopies(p, targets)
	p.Manifests, p.Archive = p.manifests(p.Copies), p.archive
	if ctx.Err() != nil {
		return p, ErrInterrupted
	}
	return p, nil
}

// manifests yields the manifests that copies need, each once.
func (p *Plan) manifests(copies []stream.Copy) iter.Seq[manifest.Raw] {
	return func(yield func(manifest.Raw) bool) {
		seen := map[manifest.Ref]bool{}
		for _, c := range copies {
			for _, ref := range c.Tree(p.archive) {
				if seen[ref] {
					continue
				}
				seen[ref] = true
				if !yield(p.archive.Raw(ref)) {
					return
				}
			}
		}
	}
}

// Count returns the number of mappings that are settled with a status.
func (p *Plan) Count(status string) int {
	n := 0
	for _, r := range p.Results {
		if r.Status == status {
			n++
		}
	}
	return n
}

// Bytes returns the number of bytes that the copies move at most.
func (p *Plan) Bytes() int64 {
	var n int64
	for _, c := range p.Copies {
		n = shard.AddSizes(n, c.Bytes)
	}
	return n
}

// maxWarnings bounds the warnings in a plan. A hostile file may cause one on every line.
const maxWarnings = 100

func (o Options) warnings(more []string) []string {
	all := slices.Concat(o.Warnings, more)
	var list []string
	for _, w := range all[:min(len(all), maxWarnings)] {
		list = append(list, text.Clip(w, stream.MaxText))
	}
	if n := len(all) - maxWarnings; n > 0 {
		list = append(list, fmt.Sprintf("and %d more warnings: split -check lists all", n))
	}
	return list
}

func records(sets []*imageset.Set) []stream.Set {
	var list []stream.Set
	for _, s := range sets {
		set := stream.Set{Name: s.Name, Owners: s.Owners, Notify: s.Settings.Notify, Schedule: s.Settings.Schedule, StaleSeconds: int64(s.Settings.Stale.Seconds())}
		links := s.Links()
		set.FileLink, set.RunLink = string(links.File), string(links.Run)
		for _, t := range s.Settings.Targets {
			set.Targets = append(set.Targets, stream.Target(t))
		}
		if len(set.Targets) > 0 {
			set.RemindSeconds = int64(s.Settings.WithDefaults().Remind.Seconds())
		}
		list = append(list, set)
	}
	return list
}

// newRun returns a new name for a run: when it started, so that names sort by time, and random
// hexadecimal digits.
func newRun(started time.Time) string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand crashes the program instead
	return started.Format("20060102T150405Z-") + hex.EncodeToString(b[:])
}

// addCopies adds a copy for each target that is not settled, in the order of the mappings.
func (r *resolver) addCopies(p *Plan, targets []*target) {
	known := holders(targets)
	type place struct{ registry, set string }
	brought := map[place]refSet{} // blobs of earlier copies
	for _, t := range targets {
		if t.settled {
			continue
		}
		at := place{t.to.Registry(), t.Set}
		if brought[at] == nil {
			brought[at] = newRefSet(p.archive)
		}
		c := stream.Copy{
			ID: t.ID, Digest: t.digest, Old: t.old, Immutable: t.immutable, Public: t.checksPublic(), Attached: t.attached, Tags: t.tags, Keep: t.keep,
			Platforms: t.names(), Rewritten: t.part.rewritten, Only: t.part.only, Completes: t.digest == t.old && t.lacksPlatforms(t.old),
		}
		if path := known[holding{t.to.Registry(), t.digest, t.Set}]; path != "" && path != t.to.Path() {
			c.MountFrom = []string{path}
		}
		for _, m := range c.Tree(p.archive) {
			for _, b := range p.archive.Blobs(m) {
				if (r.Foreign || !b.Foreign) && brought[at].add(b.Ref) {
					c.Bytes = shard.AddSizes(c.Bytes, b.Size)
				}
			}
		}
		p.Copies = append(p.Copies, c)
		p.routes = append(p.routes, copyRoute{t.to.Registry() + "/" + t.to.Path(), slices.Concat(t.from.Registries(), t.to.Registries())})
	}
}

// A holding is a digest that a set has on a registry.
type holding struct{ registry, digest, set string }

// holders returns, for each digest that a destination tag points to, the path of a repository
// that has it.
func holders(targets []*target) map[holding]string {
	known := map[holding]string{}
	for _, t := range targets {
		if t.old != "" && t.to != nil {
			known[holding{t.to.Registry(), t.old, t.Set}] = t.to.Path()
		}
	}
	return known
}

// A refSet is a set of an archive's Refs, with one bit for each: a plan may have a million.
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
