package rollback

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"imagemirror/internal/fault"
	"imagemirror/internal/manifest"
	"imagemirror/internal/reference"
	"imagemirror/internal/regerror"
)

// An asker asks registries for each thing once.
type asker struct {
	*Rollback
	mu        sync.Mutex
	sources   map[reference.Reference]func() (string, error)
	manifests map[reference.Reference]func() (manifest.Raw, error)
}

// Ask asks the registries where the tags are, whether they still have what the tags go back to, and
// what the sources have now. It sets the tags' errors.
func (r *Rollback) Ask(ctx context.Context) {
	a := &asker{Rollback: r, sources: map[reference.Reference]func() (string, error){}, manifests: map[reference.Reference]func() (manifest.Raw, error){}}
	var all sync.WaitGroup
	places := make(chan struct{}, 2*r.options.Client.Concurrency()) // a tag asks one registry after the other
	for _, t := range r.Tags {
		if !t.chosen() {
			continue
		}
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			t.Err = a.ask(ctx, t)
		})
	}
	all.Wait()
}

func (a *asker) ask(ctx context.Context, t *Tag) error {
	to, err := a.options.Client.Destination(ctx, t.at, false)
	if err != nil {
		return err
	}
	t.From, err = to.Head(ctx, t.at.Tag)
	if err != nil && regerror.StatusOf(err) != http.StatusNotFound {
		return err
	}
	var why string
	if t.To, why = a.moment.digestOf(t.Destination, t.From); why != "" {
		a.refuse(t, why)
		return t.Err
	}
	if a.options.For == 0 {
		if t.held, err = a.sourceOf(ctx, t.source); err != nil {
			return fmt.Errorf("its source cannot be asked, so it cannot be held until the source moves; hold it for a time with -for: %w", err)
		}
	}
	if t.From == t.To {
		return nil
	}
	t.manifest, err = a.manifestOf(ctx, t.at.WithDigest(t.To))
	if regerror.StatusOf(err) == http.StatusNotFound {
		return collectedError(t.at.WithDigest(t.To), err)
	}
	if err == nil && a.isSparse(t.manifest) {
		t.platforms = a.options.Set.Settings.Platforms.Only.Strings()
	}
	return err
}

// isSparse reports whether only a part of an index that was read had to be there.
func (a *asker) isSparse(raw manifest.Raw) bool {
	index, err := manifest.Parse(raw.MediaType, raw.Content)
	return err == nil && len(a.copied(raw, index)) < len(index.Children)
}

// collectedError returns the error of an image that its registry does not have any more.
func collectedError(image reference.Reference, err error) error {
	return fault.New(fault.Fault{
		Kind: fault.Missing, Side: reference.Destination, Host: image.Registry, Status: http.StatusNotFound,
		Advice: "go back to another one with -to, or push it again",
	}, fmt.Sprintf("the registry has collected %s: %v", image, err))
}

// sourceOf returns the digest that a source has now.
func (a *asker) sourceOf(ctx context.Context, source reference.Reference) (string, error) {
	if source.Digest != "" {
		return source.Digest, nil
	}
	a.mu.Lock()
	ask := a.sources[source]
	if ask == nil {
		ask = sync.OnceValues(func() (string, error) {
			from, err := a.options.Client.Source(ctx, source)
			if err != nil {
				return "", err
			}
			return from.Head(ctx, source.Tag)
		})
		a.sources[source] = ask
	}
	a.mu.Unlock()
	return ask()
}

// manifestOf returns the manifest of an image, if its repository has that and all manifests below
// it. Whether it has the blobs, the registry has to know: it checks them when a tag moves.
func (a *asker) manifestOf(ctx context.Context, image reference.Reference) (manifest.Raw, error) {
	a.mu.Lock()
	ask := a.manifests[image]
	if ask == nil {
		ask = sync.OnceValues(func() (manifest.Raw, error) { return a.readTree(ctx, image, 0) })
		a.manifests[image] = ask
	}
	a.mu.Unlock()
	return ask()
}

// maxChildren bounds the manifests that an index may list.
const maxChildren = 10_000

func (a *asker) readTree(ctx context.Context, image reference.Reference, depth int) (manifest.Raw, error) {
	repo, err := a.options.Client.Destination(ctx, image, false)
	if err != nil {
		return manifest.Raw{}, err
	}
	raw, err := repo.Manifest(ctx, image.Digest)
	if err != nil {
		return raw, err
	}
	parsed, err := manifest.Parse(raw.MediaType, raw.Content)
	if err == nil && (depth > manifest.MaxDepth || len(parsed.Children) > maxChildren) {
		err = fmt.Errorf("it has more than %d levels or %d manifests", manifest.MaxDepth, maxChildren)
	}
	if err != nil {
		return raw, repo.BadManifest(image.Digest, err)
	}
	for _, child := range a.copied(raw, parsed) {
		if manifest.IsIndex(child.MediaType) {
			_, err = a.readTree(ctx, image.WithDigest(child.Digest), depth+1)
		} else {
			_, err = repo.Head(ctx, child.Digest)
		}
		if err != nil {
			return raw, err
		}
	}
	return raw, nil
}

// copied returns the manifests of an index that have to be there: of a sparse index, only those
// that the set's settings ask for.
func (a *asker) copied(raw manifest.Raw, index manifest.Manifest) []manifest.Descriptor {
	only := a.options.Set.Settings.Platforms.Only
	if len(only) == 0 || len(index.Children) == 0 {
		return index.Children
	}
	choice, err := only.Choose(raw.Content, nil)
	if err != nil || !choice.Matches {
		return index.Children
	}
	return slices.DeleteFunc(slices.Clone(index.Children), func(d manifest.Descriptor) bool { return !slices.Contains(choice.Digests, d.Digest) })
}
