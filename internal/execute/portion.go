package execute

import (
	"context"

	"imagemirror/internal/manifest"
	"imagemirror/internal/mirror"
)

// portion bounds the graph of the copy engine, which is made anew for each so many blobs. It takes
// about 850 bytes for each blob, in each repository that needs it.
const portion = 40_000

// jobWeight is how many blobs take as much memory as an image without any.
const jobWeight = 2

// carry copies the images, in portions that are carried out one after the other. A layer that
// several portions need crosses once for each.
func (p *Batch) carry(ctx context.Context, o mirror.Options) {
	for rest := p.jobs; ; {
		n := p.portion(rest)
		mirror.Run(ctx, o, rest[:n], p.manifest)
		if rest = rest[n:]; len(rest) == 0 {
			return
		}
	}
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
			weight += p.blobs(j.Digest)
		}
		if weight > portion && i > 0 {
			return i
		}
	}
	return len(jobs)
}

// blobs returns how many blobs the manifests of an image list.
func (p *Batch) blobs(digest string) int {
	blobs := 0
	for _, a := range p.archives {
		for _, m := range a.Tree(digest) {
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
