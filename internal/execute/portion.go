package execute

import (
	"context"
	"errors"

	"imagemirror/internal/manifest"
	"imagemirror/internal/mirror"
	"imagemirror/internal/public"
	"imagemirror/internal/stream"
)

// portion bounds the graph of the copy engine, which is made anew for each so many blobs. It takes
// about 850 bytes for each blob, in each repository that needs it.
const portion = 40_000

// jobWeight is how many blobs take as much memory as an image without any.
const jobWeight = 2

// carry copies the images, in portions that are carried out one after the other. A layer that
// several portions need crosses once for each. Each gets a share of the time that is left, so that
// none takes that of the others; what it does not copy in its share is tried again after the last.
func (p *Batch) carry(ctx context.Context, o mirror.Options) {
	o.Public = public.New(o.Client)
	portions := p.portions(p.jobs)
	if len(portions) > 1 {
		late := &lateJobs{Observer: o.Observer}
		first := o
		first.Observer = late
		p.round(ctx, first, portions, len(portions)+1)
		portions = p.portions(late.jobs)
	}
	p.round(ctx, o, portions, len(portions))
}

// round carries out portions. The time that is left is divided into shares, and each portion gets
// one.
func (p *Batch) round(ctx context.Context, o mirror.Options, portions [][]mirror.Job, shares int) {
	until := o.Until
	for i, jobs := range portions {
		share, over := Share(until, shares-i)
		o.Until = share
		mirror.Run(ctx, o, jobs, p.manifest)
		over()
	}
}

// portions cuts the jobs into portions.
func (p *Batch) portions(jobs []mirror.Job) (all [][]mirror.Job) {
	for len(jobs) > 0 {
		n := p.portion(jobs)
		all = append(all, jobs[:n])
		jobs = jobs[n:]
	}
	return all
}

// lateJobs keeps the jobs that were late, and passes the outcome of the others on.
type lateJobs struct {
	mirror.Observer
	jobs []mirror.Job
}

// Image takes an outcome. The engine calls it under its lock, one at a time.
func (l *lateJobs) Image(o mirror.Outcome) {
	if errors.Is(o.Err, mirror.ErrLate) {
		l.jobs = append(l.jobs, o.Job)
		return
	}
	l.Observer.Image(o)
}

// portion returns how many of the jobs, from the first on, the engine carries out at once. It is at
// least one, if there are any.
func (p *Batch) portion(jobs []mirror.Job) int {
	type image struct{ repository, digest string }
	counted := map[image]bool{}
	weight := 0
	for i, j := range jobs {
		weight += jobWeight
		if in := (image{j.Destination.Name(), j.Digest}); !counted[in] {
			counted[in] = true
			weight += p.blobs(j)
		}
		if weight > portion && i > 0 {
			return i
		}
	}
	return len(jobs)
}

// blobs returns how many blobs the manifests of an image list, with those that travel with it.
func (p *Batch) blobs(j mirror.Job) int {
	c := stream.Copy{Digest: j.Digest, Only: j.Only}
	for _, a := range j.Attached {
		c.Attached = append(c.Attached, stream.Attachment{Digest: a.Digest})
	}
	blobs := 0
	for _, a := range p.archives {
		for _, m := range c.Tree(a) {
			n, _ := a.Weigh(m)
			blobs += n + 1
		}
	}
	return blobs
}

// manifest returns a manifest of the plan.
func (p *Batch) manifest(digest string) (manifest.Raw, bool) {
	for _, a := range p.archives {
		if ref, _, ok := a.Find(digest); ok {
			return a.Raw(ref), true
		}
	}
	return manifest.Raw{}, false
}
