// Package execute carries out plans: it reads shards, has the copy engine bring their images over, and writes one result
// for each mapping, those that split settled among them.
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
	"imagemirror/internal/stream"
)

// ErrInterrupted says that some mappings were not finished since the run was told to stop. Each has its result.
var ErrInterrupted = errors.New("interrupted: the mappings that were not finished are failed")

// Grace is what requests under way get to finish after Ctrl-C: all is written down within ten seconds of it.
const Grace = 8 * time.Second

// A Batch is one or more shards of a run, read and found whole.
type Batch struct {
	header    stream.Header
	sets      []stream.Set
	mappings  []stream.Mapping
	results   []stream.Result
	jobs      []mirror.Job
	manifests map[string]manifest.Raw
	bytes     int64
	cap       stream.Cap
}

// Gather makes a Batch of shards. Its errors say which input is at fault: a stream that is cut, one that is no plan, shards
// of different runs, a mapping that is there twice.
func Gather(shards []*stream.Content) (*Batch, error) {
	p := &Batch{manifests: map[string]manifest.Raw{}}
	sets, seen := map[string]bool{}, map[int]string{}
	var names []string
	for i, s := range shards {
		if err := checkPlan(s, shards[0]); err != nil {
			return nil, err
		}
		if i == 0 {
			// A run began when split did.
			p.header = stream.Header{Stream: stream.Results, Run: s.Header.Run, Started: s.Header.Started}
		}
		p.header.Warnings = append(p.header.Warnings, s.Header.Warnings...)
		p.cap = tighter(p.cap, s.Header.Cap)
		if s.Header.Shard != "" {
			names = append(names, s.Header.Shard)
		}
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
		return fmt.Errorf("%w: nothing was started; run split again", s.Cut)
	case s.Header.Stream != stream.Plan:
		return fmt.Errorf("%s: these are results, and copy carries out a plan: give it what split wrote", s.Name)
	case s.Header.Run != first.Header.Run:
		return fmt.Errorf("%s is of another run than %s: give the shards of one split", s.Name, first.Name)
	}
	return nil
}

// add takes in what one shard holds.
func (p *Batch) add(s *stream.Content) error {
	p.mappings = append(p.mappings, s.Mappings...)
	p.results = append(p.results, s.Results...)
	for m := range s.Manifests {
		p.manifests[m.Digest] = manifest.Raw{Digest: m.Digest, MediaType: m.MediaType, Content: m.Content}
	}
	byID := make(map[int]stream.Mapping, len(s.Mappings))
	for _, m := range s.Mappings {
		byID[m.ID] = m
	}
	exists := map[string]bool{} // destination repositories that answered for some tag
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
		p.bytes += c.Bytes
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
	return mirror.Job{
		ID: c.ID, Source: source, Destination: destination, Digest: c.Digest, Old: c.Old,
		Exists: c.Old != "", Immutable: c.Immutable, MountFrom: c.MountFrom,
	}, nil
}

// Work is how many images have to be copied, and how many bytes that is at most.
func (p *Batch) Work() (images int, bytes int64) { return len(p.jobs), p.bytes }

// Cap is what the plan allows to be asked of one registry: the client of Carry has to keep to it.
func (p *Batch) Cap() stream.Cap { return p.cap }

// least is a cap that keeps to both: one process that carries out two shards may not know how they share their registries.
func tighter(a, b stream.Cap) stream.Cap {
	if a.InFlight == 0 || b.InFlight > 0 && b.InFlight < a.InFlight {
		a.InFlight = b.InFlight
	}
	if a.Rate == 0 || b.Rate > 0 && b.Rate < a.Rate {
		a.Rate = b.Rate
	}
	return a
}

// Carry carries out the plan and writes its results to w. When ctx ends, it stops starting work, gives what is under way
// o.Grace, and returns ErrInterrupted once all is written. Where w takes nothing for a second after that, it is left alone:
// the error says so, and a Write of w may still be under way.
func (p *Batch) Carry(ctx context.Context, o mirror.Options, w io.Writer) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	late := make(chan struct{})
	defer context.AfterFunc(ctx, func() { time.AfterFunc(o.Grace, func() { close(late) }) })()
	t := newTeller(o.Observer)
	go t.write(p, w, stop)
	select {
	case <-t.begun:
	case <-t.ended:
		return unwritten(t.err)
	case <-ctx.Done():
	}
	o.Observer = t
	mirror.Run(ctx, o, p.jobs, p.manifests)
	if err := t.end(late); err != nil {
		return unwritten(err)
	}
	if t.interrupted {
		return ErrInterrupted
	}
	return nil
}

func unwritten(err error) error { return fmt.Errorf("writing the results: %w", err) }
