// Package execute carries out plans. It combines shards, lets the copy engine copy their
// images, and writes one result for each mapping, including those that split settled.
package execute

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"imagemirror/internal/manifest"
	"imagemirror/internal/mirror"
	"imagemirror/internal/reference"
	"imagemirror/internal/shard"
	"imagemirror/internal/stream"
)

// ErrInterrupted reports that the run was interrupted before all mappings were finished. Each
// has a result all the same.
var ErrInterrupted = errors.New("interrupted: the mappings that were not finished are failed")

// Grace is the time that requests in flight get to finish after Ctrl-C. All results are
// written within ten seconds of it.
const Grace = 8 * time.Second

// A Batch is one or more complete shards of a run.
type Batch struct {
	header   stream.Header
	sets     []stream.Set
	selected []stream.Selection
	mappings []stream.Mapping
	results  []stream.Result
	jobs     []mirror.Job
	archives []*manifest.Archive
	bytes    int64
	cap      stream.Cap
	planned  []stream.Traffic // by the split that made the plan
}

// Gather combines shards into a Batch. It fails, and names the input, if a stream is cut or
// is not a plan, if shards are of different runs, or if a mapping is in two shards.
func Gather(shards []*stream.Content) (*Batch, error) {
	p := &Batch{}
	sets, seen := map[string]bool{}, map[int]string{}
	var names []string
	for i, s := range shards {
		if err := checkPlan(s, shards[0]); err != nil {
			return nil, err
		}
		if i == 0 {
			// A run starts when split does.
			p.header = stream.Header{Stream: stream.Results, Run: s.Header.Run, Started: s.Header.Started}
		}
		p.header.Warnings = append(p.header.Warnings, s.Header.Warnings...)
		p.cap, p.planned = tighter(p.cap, s.Header.Cap), append(p.planned, s.Traffic...)
		if s.Header.Shard != "" {
			names = append(names, s.Header.Shard)
		}
		p.selected = append(p.selected, s.Selected...)
		for _, m := range s.Mappings {
			if other, twice := seen[m.ID]; twice {
				return nil, fmt.Errorf("%s: mapping %d is in %s too: name each shard once", s.Name, m.ID, other)
			}
			seen[m.ID] = s.Name
		}
		for _, set := range s.Sets {
			if !sets[set.Name] {
				sets[set.Name] = true
				p.sets = append(p.sets, set)
			}
		}
		if err := p.add(s); err != nil {
			return nil, err
		}
	}
	p.header.Shard, p.header.Mappings = strings.Join(names, ","), len(p.mappings)
	return p, nil
}

func checkPlan(s, first *stream.Content) error {
	switch {
	case s.Cut != nil:
		return fmt.Errorf("%w: nothing was copied: run split again", s.Cut)
	case s.Header.Stream != stream.Plan:
		return fmt.Errorf("%s has results, not a plan: give copy the output of split", s.Name)
	case s.Header.Run != first.Header.Run:
		return fmt.Errorf("%s is of another run than %s: give the shards of one split", s.Name, first.Name)
	}
	return nil
}

// add adds the records of one shard.
func (p *Batch) add(s *stream.Content) error {
	p.mappings = append(p.mappings, s.Mappings...)
	p.results = append(p.results, s.Results...)
	if s.Archive != nil { // a part that copies nothing has none
		p.archives = append(p.archives, s.Archive)
	}
	byID := make(map[int]stream.Mapping, len(s.Mappings))
	for _, m := range s.Mappings {
		byID[m.ID] = m
	}
	exists := map[string]bool{} // destination repositories that have a tag
	for _, r := range s.Results {
		if d, err := reference.Parse(byID[r.ID].Destination); err == nil && r.Old != "" {
			exists[d.Name()] = true
		}
	}
	for _, c := range s.Copies {
		j, err := jobOf(byID[c.ID], c)
		if err != nil {
			return fmt.Errorf("%s: mapping %d: %w", s.Name, c.ID, err)
		}
		p.bytes = shard.AddSizes(p.bytes, c.Bytes)
		p.jobs = append(p.jobs, j)
		exists[j.Destination.Name()] = exists[j.Destination.Name()] || j.Exists
	}
	for i := range p.jobs {
		p.jobs[i].Exists = p.jobs[i].Exists || exists[p.jobs[i].Destination.Name()]
	}
	return nil
}

func jobOf(m stream.Mapping, c stream.Copy) (mirror.Job, error) {
	source, err := reference.Parse(m.Source)
	if err != nil {
		return mirror.Job{}, err
	}
	destination, err := reference.Parse(m.Destination)
	if err != nil {
		return mirror.Job{}, err
	}
	j := mirror.Job{
		ID: c.ID, Set: m.Set, Source: source, Destination: destination, Digest: c.Digest, Old: c.Old,
		Exists: c.Old != "" || c.There, Immutable: c.Immutable, MountFrom: c.MountFrom, There: c.There, Public: c.Public,
		Only: c.Only, Completes: c.Completes, Platforms: c.Platforms, Rewritten: c.Rewritten,
	}
	for _, a := range c.Attached {
		at := mirror.Attachment{Kind: a.Kind, Digest: a.Digest, Tag: a.Tag, Subject: a.Subject, Required: a.Required}
		if a.Error != nil {
			at.Err = a.Error
		}
		j.Attached = append(j.Attached, at)
	}
	j.Tags, j.Keep = extraTags(c)
	return j, nil
}

// Work returns the number of images to copy and an upper bound on their bytes.
func (p *Batch) Work() (images int, bytes int64) { return len(p.jobs), p.bytes }

// Cap returns the bound on requests to each registry. The client of Carry must keep to it.
func (p *Batch) Cap() stream.Cap { return p.cap }

// tighter returns the cap that keeps to both. A process that carries out two shards cannot
// know how they share their registries.
func tighter(a, b stream.Cap) stream.Cap {
	if a.InFlight == 0 || b.InFlight > 0 && b.InFlight < a.InFlight {
		a.InFlight = b.InFlight
	}
	if a.Rate == 0 || b.Rate > 0 && b.Rate < a.Rate {
		a.Rate = b.Rate
	}
	if a.Bandwidth == 0 || b.Bandwidth > 0 && b.Bandwidth < a.Bandwidth {
		a.Bandwidth = b.Bandwidth
	}
	return a
}

// Carry copies the images of the Batch and writes the results to w. When ctx ends, it starts
// nothing new, gives requests in flight o.Grace, writes the remaining results, and returns
// ErrInterrupted. If w then accepts nothing for a second, Carry fails, and a Write of w may
// still be in progress.
func (p *Batch) Carry(ctx context.Context, o mirror.Options, w io.Writer) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	late := make(chan struct{})
	defer context.AfterFunc(ctx, func() { time.AfterFunc(o.Grace, func() { close(late) }) })()
	t, begun := newTeller(o.Observer), o.Client.Traffic()
	t.traffic = func() []stream.Traffic { return since(begun, o.Client) }
	go t.write(p, w, stop)
	select {
	case <-t.begun:
	case <-t.ended:
		return unwritten(t.err)
	case <-ctx.Done():
	}
	o.Observer = t
	p.carry(ctx, o)
	if err := t.end(late); err != nil {
		return unwritten(err)
	}
	if t.interrupted {
		return ErrInterrupted
	}
	return nil
}

func unwritten(err error) error { return fmt.Errorf("writing the results: %w", err) }
