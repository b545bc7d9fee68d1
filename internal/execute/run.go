package execute

import (
	"context"
	"errors"
	"slices"
	"time"

	"imagemirror/internal/mirror"
	"imagemirror/internal/registry"
	"imagemirror/internal/stream"
)

// Run copies the images of the Batch and returns the results, one for each mapping. When ctx
// ends, it starts nothing new and gives requests in flight o.Grace. The results show what was
// interrupted.
func (p *Batch) Run(ctx context.Context, o mirror.Options) *stream.Content {
	begun := o.Client.Traffic()
	c := &collector{Observer: o.Observer, results: slices.Clone(p.results)}
	o.Observer = c
	p.carry(ctx, o)
	header, end := p.header, &stream.End{Ended: time.Now().UTC(), Interrupted: c.interrupted}
	header.Version = stream.Version
	end.Registries, end.PlanRegistries = since(begun, o.Client), p.planned
	return &stream.Content{
		Header: header, Sets: p.sets, Selected: p.selected, Mappings: p.mappings, Results: c.results, End: end,
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

// since returns what a client asked of each registry after it had asked begun.
func since(begun []registry.Traffic, client *registry.Client) []stream.Traffic {
	before := map[string]registry.Traffic{}
	for _, t := range begun {
		before[t.Host] = t
	}
	var all []stream.Traffic
	for _, t := range client.Traffic() {
		b := before[t.Host]
		t.Requests, t.Retries, t.Throttled, t.Bytes = t.Requests-b.Requests, t.Retries-b.Retries, t.Throttled-b.Throttled, t.Bytes-b.Bytes
		if t.Requests > 0 {
			all = append(all, stream.Traffic(t))
		}
	}
	return all
}
