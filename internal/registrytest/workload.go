package registrytest

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/errgroup"
)

// A Workload describes images that share layers, as those of one build system do. Sizes are in
// bytes.
type Workload struct {
	Repository string // prefix of the names of repositories (default ci/image)
	Images     int
	PerRepo    int // images in a repository, as tags (default 1)
	IndexEvery int // every nth image is an index of two platforms; 0: none
	Bases      int // layers that all images share
	BaseSize   int64
	TopSize    int64 // of the layer that only one image has
	Docker     bool  // schema 2 instead of OCI
}

// WorkloadImages are the images that a Workload put on a registry.
type WorkloadImages struct {
	Tags []string // REPO:TAG of every image, in order

	trees []tree
}

// A tree is an image or an index with everything it leads to.
type tree struct {
	repo     string
	children map[v1.Hash]bool  // manifests below an index
	blobs    map[v1.Hash]int64 // sizes
}

// A Bound is the least that a copy can cost.
type Bound struct {
	Source, Destination map[string]int // requests by Request.Kind, without "token" and "ping"
	Bytes               int64          // of blobs, read from the source and written to the destination
}

// Write pushes the images to the registry on host.
func (w Workload) Write(ctx context.Context, host string) (*WorkloadImages, error) {
	pusher, err := remote.NewPusher()
	if err != nil {
		return nil, err
	}
	var bases []Layer
	for i := range w.Bases {
		bases = append(bases, NewLayer(fmt.Sprintf("base-%d", i), w.BaseSize))
	}
	first, _ := w.nameOf(0)
	if err := w.uploadBases(ctx, pusher, host+"/"+first, bases); err != nil {
		return nil, err
	}
	c := &WorkloadImages{Tags: make([]string, w.Images), trees: make([]tree, w.Images)}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i := range w.Images {
		group.Go(func() error {
			repo, tag := w.nameOf(i)
			c.Tags[i] = repo + ":" + tag
			if repo != first {
				mountAll(ctx, host, repo, first, bases)
			}
			image := w.image(i, bases)
			var err error
			if c.trees[i], err = treeOf(repo, image); err != nil {
				return err
			}
			ref, err := name.NewTag(host + "/" + c.Tags[i])
			if err != nil {
				return err
			}
			if err := pusher.Push(ctx, ref, image); err != nil {
				return fmt.Errorf("pushing %q: %w", ref, err)
			}
			return nil
		})
	}
	return c, group.Wait()
}

func (w Workload) uploadBases(ctx context.Context, pusher *remote.Pusher, repository string, bases []Layer) error {
	repo, err := name.NewRepository(repository)
	if err != nil {
		return err
	}
	for _, base := range bases {
		l, err := partial.CompressedToLayer(layerCore{base})
		if err != nil {
			return err
		}
		if err := pusher.Upload(ctx, repo, l); err != nil {
			return fmt.Errorf("pushing to %q: %w", repository, err)
		}
	}
	return nil
}

// mountAll mounts layers from another repository, so that the push that follows need not upload
// them. A layer that it cannot mount is uploaded.
func mountAll(ctx context.Context, host, repo, from string, layers []Layer) {
	for _, l := range layers {
		query := url.Values{"mount": {l.Digest.String()}, "from": {from}}
		target := url.URL{Scheme: "http", Host: host, Path: "/v2/" + repo + "/blobs/uploads/", RawQuery: query.Encode()}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), nil)
		must(err)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
		}
	}
}

func (w Workload) nameOf(i int) (repo, tag string) {
	prefix, n := w.Repository, max(w.PerRepo, 1)
	if prefix == "" {
		prefix = "ci/image"
	}
	return fmt.Sprintf("%s-%d", prefix, i/n), fmt.Sprintf("t%d", i%n)
}

// A pushable is an image or an index.
type pushable interface {
	mutate.Appendable
	remote.Taggable
}

func (w Workload) image(i int, bases []Layer) pushable {
	format := OCI
	if w.Docker {
		format = Docker
	}
	called := fmt.Sprintf("image-%d", i)
	if w.IndexEvery > 0 && i%w.IndexEvery == 0 {
		return NewPlatforms(format, called, w.TopSize, []string{"amd64", "arm64"}, bases...)
	}
	return NewImage(format, called, "amd64", append(slices.Clip(bases), NewLayer(called, w.TopSize))...)
}

func treeOf(repo string, what mutate.Appendable) (tree, error) {
	t := tree{repo: repo, children: map[v1.Hash]bool{}, blobs: map[v1.Hash]int64{}}
	return t, t.add(what)
}

func (t tree) add(what mutate.Appendable) error {
	if img, ok := what.(v1.Image); ok {
		m, err := img.Manifest()
		if err != nil {
			return err
		}
		for _, blob := range append(m.Layers, m.Config) {
			t.blobs[blob.Digest] = blob.Size
		}
		return nil
	}
	index, ok := what.(v1.ImageIndex)
	if !ok {
		return fmt.Errorf("a %T is no image and no index", what)
	}
	m, err := index.IndexManifest()
	if err != nil {
		return err
	}
	for _, d := range m.Manifests {
		t.children[d.Digest] = true
		child, err := index.Image(d.Digest)
		if err != nil {
			return err
		}
		if err := t.add(child); err != nil {
			return err
		}
	}
	return nil
}

// Mappings returns the lines of a mapping file that copies every image from host to
// destination, below path there.
func (c *WorkloadImages) Mappings(host, destination, path string) []string {
	if path != "" {
		path += "/"
	}
	lines := make([]string, len(c.Tags))
	for i, tag := range c.Tags {
		lines[i] = fmt.Sprintf("%s/%s %s/%s%s", host, tag, destination, path, tag)
	}
	return lines
}

// Unchanged returns what it costs to find that every destination has its image: a HEAD at each
// side.
func (c *WorkloadImages) Unchanged() Bound {
	n := len(c.Tags)
	return Bound{Source: map[string]int{"HEAD manifest": n}, Destination: map[string]int{"HEAD manifest": n}}
}

// Cold returns what it costs to copy everything to a registry that has none of it. Each
// manifest and each blob is read once. Each blob is uploaded once, with POST and PUT, and
// mounted wherever else it is needed.
func (c *WorkloadImages) Cold() Bound {
	children, blobs := map[v1.Hash]bool{}, map[v1.Hash]int64{}
	type repoHash struct {
		repo   string
		digest v1.Hash
	}
	childCopies, blobCopies := map[repoHash]bool{}, map[repoHash]bool{}
	for _, t := range c.trees {
		maps.Copy(children, t.children)
		maps.Copy(blobs, t.blobs)
		for digest := range t.children {
			childCopies[repoHash{t.repo, digest}] = true
		}
		for digest := range t.blobs {
			blobCopies[repoHash{t.repo, digest}] = true
		}
	}
	b := Bound{
		Source: map[string]int{"GET manifest": len(c.trees) + len(children), "GET blob": len(blobs)},
		Destination: map[string]int{
			"HEAD manifest": len(c.trees),
			"POST upload":   len(blobs),
			"PUT upload":    len(blobs),
			"POST mount":    len(blobCopies) - len(blobs),
			"PUT manifest":  len(c.trees) + len(childCopies),
		},
	}
	for _, size := range blobs {
		b.Bytes += size
	}
	for _, requests := range []map[string]int{b.Source, b.Destination} {
		maps.DeleteFunc(requests, func(_ string, n int) bool { return n == 0 })
	}
	return b
}

// Total returns the number of requests on both sides.
func (b Bound) Total() int {
	n := 0
	for _, requests := range []map[string]int{b.Source, b.Destination} {
		for _, k := range requests {
			n += k
		}
	}
	return n
}
