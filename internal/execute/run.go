package execute

import (
	"context"
	"errors"
	"slices"
	"time"

	"imagemirror/internal/mirror"
	"imagemirror/internal/stream"
)

// Run copies the images of the Batch and returns the results, one for each mapping. When ctx
// ends, it starts nothing new and gives requests in flight o.Grace. The results show what was
// interrupted.
func (p *Batch) Run(ctx context.Context, o mirror.Options) *stream.Content {
	c := &collector{Observer: o.Observer, results: slices.Clone(p.results)}
	o.Observer = c
	p.carry(ctx, o)
	header := p.header
	header.Version = stream.Version
	return &stream.Content{
		Header: header, Sets: p.sets, Mappings: p.mappings, Results: c.results,
		End: &stream.End{Ended: time.Now().UTC(), Interrupted: c.interrupted},
	}
}

// A collector keeps the results of images.
type collector struct {
	mirror.Observer
	results     []stream.Result
	interrupted bool
}

// Image keeps an outcome. The engine calls it under its lock, one at a time.
func (c *collector) Image(o mirror.Outcome) {
	c.interrupted = c.interrupted || errors.Is(o.Err, mirror.ErrInterrupted)
	c.results = append(c.results, resultOf(o))
	c.Observer.Image(o)
}
