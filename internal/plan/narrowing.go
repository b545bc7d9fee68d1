package plan

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"imagemirror/internal/digest"
	"imagemirror/internal/fault"
	"imagemirror/internal/manifest"
	"imagemirror/internal/platforms"
	"imagemirror/internal/settings"
	"imagemirror/internal/stream"
)

// maxUnnamed bounds the manifests in an index that name no platform: each has to be read.
const maxUnnamed = 256

// A narrowing finds out what a list of platforms leaves of one image.
type narrowing struct {
	*imageTree
	settings.Platforms
	indexes map[string]*narrowed // that it has looked into, by digest
}

// A narrowed is what is left of an index.
type narrowed struct {
	platforms.Choice        // without the content
	index            string // its digest at the source
	digest           string // of the index that takes its place
	size             int64  // of that, in bytes
	below            map[string]*narrowed
}

func (im *imageTree) narrowing(of *target) *narrowing {
	return &narrowing{imageTree: im.trees.image(im.from, im.sets), Platforms: of.platforms, indexes: map[string]*narrowed{}}
}

// published returns what is published of an image.
func (n *narrowing) published(ctx context.Context, named string, known *archived) part {
	p, _, _ := n.open(ctx, named, known)
	return p
}

// copied returns what is published of an image, and reads what is copied of it.
func (n *narrowing) copied(ctx context.Context, named string, known *archived) part {
	p, ref, left := n.open(ctx, named, known)
	switch {
	case p.err != nil:
	case left == nil:
		p.err = n.checkImage(ctx, ref)
	case n.Form == settings.FormFlatten:
		p.err = n.all(ctx, p.digest, nil)
	default:
		p.err = n.readIndex(ctx, left, &p)
	}
	return p
}

// open reads a manifest, and returns what is published of it. left is nil unless it is an index.
func (n *narrowing) open(ctx context.Context, named string, known *archived) (p part, ref manifest.Ref, left *narrowed) {
	p.digest = named
	if ref, p.err = n.one(ctx, named, known, 0); p.err != nil || !n.isIndex(ref) {
		return p, ref, nil
	}
	if left, p.err = n.look(ctx, ref, 0); p.err != nil {
		return p, ref, nil
	}
	p, ok := published(named, left.Choice, n.Form)
	switch {
	case !ok:
		p.err = notChosen(n.from, n.Platforms, left.Choice)
	case n.Form == settings.FormRewrite:
		p.digest = left.digest
	}
	return p, ref, left
}

// below returns the digests of what is copied below an index and is at its source.
func (n *narrowing) below(ctx context.Context, index string) ([]string, error) {
	p, _, left := n.open(ctx, index, nil)
	if p.err != nil || left == nil {
		return nil, p.err
	}
	return left.atSource(nil), nil
}

// atSource adds the digests of what is left below an index and is at its source to a list.
func (l *narrowed) atSource(list []string) []string {
	for _, d := range l.Digests {
		inner := l.below[d]
		if inner == nil || inner.digest == inner.index {
			list = append(list, d)
		}
		if inner != nil {
			list = inner.atSource(list)
		}
	}
	return list
}

func (n *narrowing) isIndex(ref manifest.Ref) bool {
	return manifest.IsIndex(n.archive.MediaType(ref))
}

// one reads a manifest without those below it.
func (n *narrowing) one(ctx context.Context, named string, known *archived, depth int) (manifest.Ref, error) {
	if depth > manifest.MaxDepth {
		return 0, n.tooDeep()
	}
	again, err := n.visit(named)
	if err != nil {
		return 0, err
	}
	if err := n.imageTree.read(ctx, placement{n.from.Name(), named}, known); err != nil {
		return 0, err
	}
	ref, size, _ := n.archive.Find(named)
	if again {
		return ref, nil
	}
	return ref, n.add(ref, size)
}

// look finds out what is left of an index. It reads what names no platform in it.
func (n *narrowing) look(ctx context.Context, ref manifest.Ref, depth int) (*narrowed, error) {
	named := n.archive.Digest(ref)
	if left := n.indexes[named]; left != nil {
		return left, nil
	}
	unnamed, err := n.unnamed(ref)
	if err != nil {
		return nil, err
	}
	left := &narrowed{index: named, digest: named, below: map[string]*narrowed{}}
	resolutions, err := n.judgeImages(ctx, unnamed, depth)
	if err != nil {
		return nil, err
	}
	for _, d := range unnamed {
		if !manifest.IsIndex(d.MediaType) {
			continue
		}
		below, err := n.one(ctx, d.Digest, nil, depth+1)
		if err != nil {
			return nil, err
		}
		inner, err := n.look(ctx, below, depth+1)
		if err != nil {
			return nil, err
		}
		v := platforms.Resolution{Keeps: inner.Matches, Matches: inner.Matches}
		if inner.digest != d.Digest {
			v.Digest, v.Size = inner.digest, inner.size
		}
		resolutions[d.Digest], left.below[inner.digest] = v, inner
	}
	if err := n.choose(ref, resolutions, left); err != nil {
		return nil, err
	}
	n.indexes[named] = left
	return left, nil
}

// unnamed returns the manifests in an index that name no platform.
func (n *narrowing) unnamed(ref manifest.Ref) ([]manifest.Descriptor, error) {
	n.choosing.Lock()
	defer n.choosing.Unlock()
	_, content := n.archive.Content(ref)
	list, err := platforms.Unnamed(content, maxUnnamed)
	if err != nil {
		return nil, n.tooLarge("%v", err)
	}
	return list, nil
}

// choose sets what is left of an index, and keeps the index that takes its place.
func (n *narrowing) choose(ref manifest.Ref, resolutions map[string]platforms.Resolution, left *narrowed) (err error) {
	n.choosing.Lock()
	defer n.choosing.Unlock()
	mediaType, content := n.archive.Content(ref)
	if left.Choice, err = n.Only.Choose(content, resolutions); err != nil {
		return n.from.BadManifest(left.index, err)
	}
	content, left.Content = left.Content, nil
	if n.Form == settings.FormRewrite && !left.Whole && left.Matches {
		left.digest, left.size = digest.Of(content), int64(len(content))
		return n.keepRewritten(mediaType, left, content)
	}
	var images []string
	for _, image := range left.Images {
		if inner := left.below[image]; inner != nil {
			images = append(images, inner.Images...)
		} else {
			images = append(images, image)
		}
	}
	left.Images = images
	return nil
}

// keepRewritten adds an index that a source does not have to the archive.
func (n *narrowing) keepRewritten(mediaType string, left *narrowed, content []byte) error {
	parsed, err := manifest.Parse(mediaType, content)
	if err != nil {
		return n.from.BadManifest(left.index, err)
	}
	if err := n.budget.add(n.imageTree, left.digest, content, parsed); err != nil {
		return err
	}
	n.trees.mu.Lock()
	defer n.trees.mu.Unlock()
	n.rewritten[left.digest] = true
	return nil
}

// judgeImages returns the resolutions of manifests that name no platform and are not indexes.
func (n *narrowing) judgeImages(ctx context.Context, list []manifest.Descriptor, depth int) (map[string]platforms.Resolution, error) {
	resolutions := make([]platforms.Resolution, len(list))
	errs := make([]error, len(list))
	var all sync.WaitGroup
	places := make(chan struct{}, childrenAtOnce)
	for i, d := range list {
		if manifest.IsIndex(d.MediaType) {
			continue
		}
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			resolutions[i], errs[i] = n.judgeImage(ctx, d.Digest, depth)
		})
	}
	all.Wait()
	by := map[string]platforms.Resolution{}
	for i, d := range list {
		if errs[i] != nil {
			return nil, errs[i]
		}
		by[d.Digest] = resolutions[i]
	}
	return by, nil
}

// judgeImage returns the resolution of a manifest that names no platform in its index: the
// configuration of an image decides, and an artifact stays.
func (n *narrowing) judgeImage(ctx context.Context, named string, depth int) (v platforms.Resolution, err error) {
	ref, err := n.one(ctx, named, nil, depth+1)
	if err != nil {
		return v, err
	}
	p, image, err := n.platformOf(ctx, ref)
	matches := image && n.Only.Match(p)
	return platforms.Resolution{Keeps: !image || matches, Matches: matches}, err
}

// checkImage fails unless an image that is in no index is for a platform that is asked for.
func (n *narrowing) checkImage(ctx context.Context, ref manifest.Ref) error {
	p, image, err := n.platformOf(ctx, ref)
	if err == nil && image && !n.Only.Match(p) {
		err = notChosen(n.from, n.Platforms, platforms.Choice{Offers: platforms.List{p}})
	}
	return err
}

// platformOf reads the platform of an image from its configuration. It reports whether it is an
// image: artifacts are for no platform.
func (n *narrowing) platformOf(ctx context.Context, ref manifest.Ref) (p platforms.Platform, image bool, err error) {
	parsed, err := manifest.Parse(n.archive.Content(ref))
	if err != nil {
		return p, false, n.from.BadManifest(n.archive.Digest(ref), err)
	}
	config, image := platforms.ConfigOf(parsed)
	switch {
	case !image:
		return p, false, nil
	case config.Size > maxConfig:
		return p, true, n.tooLarge("the configuration of the image, which names its platform, has more than %d KiB", maxConfig>>10)
	}
	content, err := n.from.SmallBlob(ctx, config.Digest, config.Size)
	if err != nil {
		return p, true, err
	}
	if p, err = platforms.Of(content); err != nil {
		return p, true, n.from.BadManifest(n.archive.Digest(ref), fault.Image.Mark(fmt.Errorf("its configuration does not tell its platform: %w", err)))
	}
	return p, true, nil
}

// readIndex reads what is copied of an index.
func (n *narrowing) readIndex(ctx context.Context, left *narrowed, p *part) error {
	only, err := n.readBelow(ctx, left, 0)
	if err != nil {
		return explainChild(err, left.index)
	}
	if n.Form == settings.FormSparse && !left.entire() {
		if p.partial, p.only = true, only; len(only) > stream.MaxOnly {
			return n.tooLarge("more than %d manifests of the image are for the platforms that are asked for", stream.MaxOnly)
		}
	}
	tree := stream.Copy{Digest: p.digest, Only: p.only}.Tree(n.archive)
	if err := n.archive.CheckTree(tree); err != nil {
		return n.from.BadManifest(left.index, err)
	}
	return nil
}

// readBelow reads what is copied of the manifests below an index. It returns their digests, parents
// before children; of a sparse index, no more than a few beyond stream.MaxOnly.
func (n *narrowing) readBelow(ctx context.Context, left *narrowed, depth int) (only []string, err error) {
	var entire []string
	for _, d := range left.Digests {
		if left.below[d] == nil {
			entire = append(entire, d)
		}
	}
	if n.Form == settings.FormSparse && len(entire) > stream.MaxOnly {
		return entire, nil
	}
	if err := n.children(ctx, entire, depth); err != nil {
		return nil, err
	}
	for _, ref := range n.archive.Tree(entire...) {
		only = append(only, n.archive.Digest(ref))
	}
	for _, d := range left.Digests {
		inner := left.below[d]
		if inner == nil || slices.Contains(only, d) {
			continue
		}
		below, err := n.readBelow(ctx, inner, depth+1)
		if err != nil {
			return nil, err
		}
		only = append(append(only, d), below...)
	}
	return only, nil
}

// entire reports whether an index is copied with all that it leads to.
func (l *narrowed) entire() bool {
	for _, inner := range l.below {
		if !inner.entire() {
			return false
		}
	}
	return l.Whole
}
