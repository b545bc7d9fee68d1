// Package plan makes the plan of a run: it asks the registries what is there, pins each source to a digest, and writes
// down what is settled and what has to move, with the manifests that were read on the way, so that copy reads none
// again.
//
// A destination is asked first. Where its tag is there, the source is only asked for its digest, and a quiet run costs two
// requests a mapping; where it is not, the source's manifest is read at once. Last, the destinations where something has to move are
// asked whether it may.
package plan

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"imagemirror/internal/imageset"
	"imagemirror/internal/reference"
	"imagemirror/internal/registry"
	"imagemirror/internal/stream"
)

// ErrInterrupted is the error of the mappings that were not resolved when the run was told to stop.
var ErrInterrupted = stream.WithAdvice("interrupted before the registries were asked", "run again")

// Options are what a plan needs besides the image sets.
type Options struct {
	Client  *registry.Client
	Foreign bool       // counts layers that are not for redistribution as bytes to move
	Cap     stream.Cap // what all copies of the plan together may ask of one registry

	// Warnings are what the report is to say of the files, as imageset.Input has them.
	Warnings []string
}

// target is one mapping on its way to a result or a copy.
type target struct {
	stream.Mapping
	source, destination reference.Reference
	from, to            *registry.Repository
	old                 string // the destination's digest, where it has the tag
	digest              string // the source's
	err                 error
	settled             bool // current or failed, or else to be copied
	immutable           bool // the destination's tag never moves once it is there
}

// Totals count what a plan holds.
type Totals struct {
	Mappings, Current, Failed, Copies int
	Bytes                             int64    // that the copies will move
	Shards                            []string // names of the shards, where the plan is cut
	Duplicated                        int64    // bytes that move more than once, since several shards need them
}

// String is the totals in a sentence.
func (t Totals) String() string {
	return fmt.Sprintf("%d mappings: %d to copy in %d shards, %d current, %d failed", t.Mappings, t.Copies, len(t.Shards), t.Current, t.Failed)
}

// Make resolves the sets' mappings and writes the plan. It returns ctx's cause where it was interrupted; the plan is then
// whole all the same, with the mappings that were not resolved failed.
func Make(ctx context.Context, o Options, sets []*imageset.Set, w Writer) (Totals, error) {
	started := time.Now().UTC()
	r := &resolver{Options: o, trees: trees{manifests: map[string]*fetched{}, failed: map[reading]*fetched{}}}
	targets := r.expand(ctx, sets)
	header := stream.Header{Stream: stream.Plan, Run: newRun(), Mappings: len(targets), Started: started, Cap: o.Cap, Warnings: o.warnings()}
	p := w.begin(header, records(sets), targets)
	r.settled, r.trees.read = p.settled, p.manifest
	r.resolve(ctx, targets)
	r.preflight(ctx, targets)
	copies := r.copies(targets)
	totals := r.count(targets, copies)
	if err := p.end(copies, &totals, &r.trees); err != nil {
		return totals, err
	}
	if ctx.Err() != nil {
		return totals, ErrInterrupted
	}
	return totals, nil
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

// copies are the copies of all that is to be copied, in the order of mappings, with the bytes that each adds.
func (r *resolver) copies(targets []*target) []stream.Copy {
	known := holders(targets)
	seen := map[string]map[string]bool{} // by registry, blobs that an earlier copy brings
	var list []stream.Copy
	for _, t := range targets {
		if t.settled {
			continue
		}
		at := t.to.Registry()
		if seen[at] == nil {
			seen[at] = map[string]bool{}
		}
		c := stream.Copy{ID: t.ID, Digest: t.digest, Old: t.old, Immutable: t.immutable}
		if path := known[holding{at, t.digest}]; path != "" && path != t.to.Path() {
			c.MountFrom = []string{path}
		}
		for _, b := range r.trees.blobs(t.digest, r.Foreign) {
			if !seen[at][b.Digest] {
				seen[at][b.Digest] = true
				c.Bytes += b.Size
			}
		}
		list = append(list, c)
	}
	return list
}

// holding is a digest on a registry.
type holding struct{ registry, digest string }

// holders are paths of repositories that have a digest already, as their tags said.
func holders(targets []*target) map[holding]string {
	known := map[holding]string{}
	for _, t := range targets {
		if t.old != "" && t.to != nil {
			known[holding{t.to.Registry(), t.old}] = t.to.Path()
		}
	}
	return known
}

func (r *resolver) count(targets []*target, copies []stream.Copy) Totals {
	n := Totals{Mappings: len(targets), Copies: len(copies)}
	for _, t := range targets {
		switch {
		case t.err != nil:
			n.Failed++
		case t.settled:
			n.Current++
		}
	}
	for _, c := range copies {
		n.Bytes += c.Bytes
	}
	return n
}
