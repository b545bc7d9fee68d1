package plan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"imagemirror/internal/manifest"
	"imagemirror/internal/registry"
)

// Bounds on reading the configs of images.
const (
	maxConfig   = 1 << 20 // bytes
	configsRead = 16      // at once, by all registries: each is in memory
)

// errNoConfig is the error if labels are needed of something that is not a container image.
var errNoConfig = errors.New("the image has no config with labels")

// labels returns the labels of an image; of an index, those of its first image.
func (r *resolver) labels(ctx context.Context, from *registry.Repository, root string) (map[string]string, error) {
	c, err := r.configOf(root, map[string]bool{})
	if err != nil {
		return nil, err
	}
	if c.Size > maxConfig {
		return nil, fmt.Errorf("the image's config has %d bytes, and at most %d are read", c.Size, maxConfig)
	}
	r.configs <- struct{}{}
	defer func() { <-r.configs }()
	content, err := from.SmallBlob(ctx, c.Digest, c.Size)
	if err != nil {
		return nil, err
	}
	var config struct {
		Config struct{ Labels map[string]string }
	}
	if err := json.Unmarshal(content, &config); err != nil {
		return nil, fmt.Errorf("the image's config %s is not JSON that has labels", c.Digest)
	}
	return config.Config.Labels, nil
}

// configOf returns the config of a manifest that the archive has, or of the first image below it.
// seen has the manifests that were looked at.
func (r *resolver) configOf(root string, seen map[string]bool) (manifest.Descriptor, error) {
	ref, _, ok := r.trees.archive.Find(root)
	if !ok || seen[root] {
		return manifest.Descriptor{}, errNoConfig
	}
	seen[root] = true
	_, content := r.trees.archive.Content(ref)
	var m struct {
		Config    manifest.Descriptor
		Manifests []struct {
			Digest      string
			Platform    struct{ OS string }
			Annotations map[string]string
		}
	}
	if json.Unmarshal(content, &m) != nil {
		return manifest.Descriptor{}, errNoConfig
	}
	switch m.Config.MediaType {
	case "application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json":
		return m.Config, nil
	}
	for _, child := range m.Manifests {
		// What BuildKit adds to an index: its attestations are manifests of an unknown platform.
		if child.Platform.OS == "unknown" || child.Annotations["vnd.docker.reference.type"] != "" {
			continue
		}
		if c, err := r.configOf(child.Digest, seen); err == nil {
			return c, nil
		}
	}
	return manifest.Descriptor{}, errNoConfig
}
