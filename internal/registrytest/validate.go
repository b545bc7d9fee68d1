package registrytest

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// Validate reads the image at a destination with everything it leads to. It returns an error if
// something is missing, does not have its digest, or differs from the source. It ignores foreign
// layers.
func Validate(ctx context.Context, source, destination string, options ...remote.Option) error {
	options = append(slices.Clip(options), remote.WithContext(ctx))
	from, err := name.ParseReference(source)
	if err != nil {
		return err
	}
	want, err := remote.Get(from, options...)
	if err != nil {
		return fmt.Errorf("reading source %q: %w", source, err)
	}
	at, err := name.ParseReference(destination)
	if err != nil {
		return err
	}
	got, err := remote.Get(at, options...)
	if err != nil {
		return fmt.Errorf("reading destination %q: %w", destination, err)
	}
	if got.Digest != want.Digest || got.MediaType != want.MediaType {
		return fmt.Errorf("destination %q is %s (%s) and its source %q is %s (%s)",
			destination, got.Digest, got.MediaType, source, want.Digest, want.MediaType)
	}
	if err := validateManifest(at.Context(), got, options); err != nil {
		return fmt.Errorf("destination %q: %w", destination, err)
	}
	return nil
}

func validateManifest(repo name.Repository, d *remote.Descriptor, options []remote.Option) error {
	switch {
	case d.MediaType.IsIndex():
		return validateChildren(repo, d, options)
	case !d.MediaType.IsImage():
		return nil
	}
	img, err := d.Image()
	if err != nil {
		return err
	}
	m, err := img.Manifest()
	if err != nil {
		return err
	}
	// go-containerregistry can only validate images of plain layers.
	if m.Config.MediaType.IsConfig() && !slices.ContainsFunc(m.Layers, func(l v1.Descriptor) bool { return !isPlainLayer(l) }) {
		if err := validate.Image(img); err != nil {
			return fmt.Errorf("%s: %w", d.Digest, err)
		}
		return nil
	}
	for _, blob := range append(m.Layers, m.Config) {
		if err := validateBlob(repo, blob, options); err != nil {
			return fmt.Errorf("%s: %w", d.Digest, err)
		}
	}
	return nil
}

func validateChildren(repo name.Repository, d *remote.Descriptor, options []remote.Option) error {
	index, err := d.ImageIndex()
	if err != nil {
		return err
	}
	m, err := index.IndexManifest()
	if err != nil {
		return err
	}
	for _, child := range m.Manifests {
		got, err := remote.Get(repo.Digest(child.Digest.String()), options...)
		if err != nil {
			return fmt.Errorf("%s: %w", d.Digest, err)
		}
		if err := validateManifest(repo, got, options); err != nil {
			return fmt.Errorf("%s: %w", d.Digest, err)
		}
	}
	return nil
}

// isPlainLayer reports whether validate.Image can look into a layer.
func isPlainLayer(l v1.Descriptor) bool {
	return l.MediaType == types.OCILayer || l.MediaType == types.DockerLayer
}

func validateBlob(repo name.Repository, blob v1.Descriptor, options []remote.Option) error {
	if !blob.MediaType.IsDistributable() {
		return nil
	}
	l, err := remote.Layer(repo.Digest(blob.Digest.String()), options...)
	if err != nil {
		return err
	}
	content, err := l.Compressed()
	if err != nil {
		return err
	}
	defer content.Close()
	// Reading fails if the content does not have the digest.
	hash, size, err := v1.SHA256(content)
	if err != nil {
		return fmt.Errorf("blob %s: %w", blob.Digest, err)
	}
	if hash != blob.Digest || size != blob.Size {
		return fmt.Errorf("blob %s of %d bytes is there as %s of %d", blob.Digest, blob.Size, hash, size)
	}
	return nil
}
