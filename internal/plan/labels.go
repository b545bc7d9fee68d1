package plan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"imagemirror/internal/digest"
	"imagemirror/internal/manifest"
	"imagemirror/internal/registry"
)

// Bounds on reading the configs of images.
const (
	maxConfig   = 1 << 20 // bytes
	configTries = 3
	configsRead = 16 // at once, by all registries: each is in memory
)

// errNoConfig is the error of labels of what is not a container image.
var errNoConfig = errors.New("the image has no config with labels")

// labels returns the labels of an image; of an index, those of its first image.
func (r *resolver) labels(ctx context.Context, from *registry.Repository, root string) (map[string]string, error) {
	c, err := r.configOf(root, map[string]bool{})
	if err != nil {
		return nil, err
	}
	r.configs <- struct{}{}
	defer func() { <-r.configs }()
	for n := 1; ; n++ {
		labels, again, err := readLabels(ctx, from, c)
		if err == nil || !again || n == configTries {
			return labels, err
		}
	}
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

// readLabels reads the labels of a config. It reports again if the transfer broke off.
func readLabels(ctx context.Context, from *registry.Repository, c manifest.Descriptor) (labels map[string]string, again bool, err error) {
	if c.Size > maxConfig {
		return nil, false, fmt.Errorf("the image's config has %d bytes, and at most %d are read", c.Size, maxConfig)
	}
	d := registry.NewDownload(c.Digest, c.Size, []*registry.Repository{from})
	defer d.Close()
	body, err := d.Open(ctx, 0)
	if err != nil {
		return nil, false, err
	}
	defer body.Close()
	content, err := io.ReadAll(io.LimitReader(body, c.Size+1))
	if err != nil {
		return nil, true, fmt.Errorf("reading the image's config %s: %w", c.Digest, err)
	}
	if digest.Of(content) != c.Digest {
		return nil, true, fmt.Errorf("the image's config was announced as %s, but its content is another", c.Digest)
	}
	var config struct {
		Config struct{ Labels map[string]string }
	}
	if err := json.Unmarshal(content, &config); err != nil {
		return nil, false, fmt.Errorf("the image's config %s is not JSON that has labels", c.Digest)
	}
	return config.Config.Labels, false, nil
}
