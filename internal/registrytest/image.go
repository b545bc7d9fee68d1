package registrytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Media types of artifacts.
const (
	EmptyJSON     types.MediaType = "application/vnd.oci.empty.v1+json"
	ExampleConfig types.MediaType = "application/vnd.example.config+json"
	ExampleBlob   types.MediaType = "application/vnd.example.data"
)

// A Format is a family of media types for images.
type Format string

// The formats that registries accept today.
const (
	OCI    Format = "oci"
	Docker Format = "docker" // schema 2
)

// NewImage returns an image for linux on an architecture such as amd64. The name goes into its
// configuration, so images with different names have different digests.
func NewImage(f Format, name, architecture string, layers ...Layer) v1.Image {
	config := v1.ConfigFile{
		OS:           "linux",
		Architecture: architecture,
		Config:       v1.Config{Labels: map[string]string{"name": name}},
		RootFS:       v1.RootFS{Type: "layers"},
	}
	described := make([]Layer, len(layers))
	for i, l := range layers {
		switch {
		case f == Docker && l.MediaType == types.OCILayer:
			l.MediaType = types.DockerLayer
		case f == Docker && l.MediaType == types.OCIRestrictedLayer:
			l.MediaType = types.DockerForeignLayer
		}
		described[i] = l
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, l.DiffID)
	}
	content := encode(config)
	if f == Docker {
		return assemble(types.DockerManifestSchema2, types.DockerConfigJSON, content, described)
	}
	return assemble(types.OCIManifestSchema1, types.OCIConfigJSON, content, described)
}

// NewArtifact returns an OCI artifact: a manifest with a configuration and blobs of media types
// that nobody knows.
func NewArtifact(name string, blobs ...Layer) v1.Image {
	return assemble(types.OCIManifestSchema1, ExampleConfig, encode(map[string]string{"name": name}), blobs)
}

// NewEmptyConfigArtifact returns an OCI artifact with the specification's empty configuration, {}.
func NewEmptyConfigArtifact(blobs ...Layer) v1.Image {
	return assemble(types.OCIManifestSchema1, EmptyJSON, []byte("{}"), blobs)
}

// NewIndex returns an index of images, artifacts and other indexes.
func NewIndex(f Format, children ...mutate.Appendable) v1.ImageIndex {
	mediaType := types.OCIImageIndex
	if f == Docker {
		mediaType = types.DockerManifestList
	}
	index := mutate.IndexMediaType(empty.Index, mediaType)
	for _, child := range children {
		addendum := mutate.IndexAddendum{Add: child}
		addendum.Platform = platform(child)
		index = mutate.AppendManifests(index, addendum)
	}
	return index
}

// NewPlatforms returns an index of images that share some layers. Each image also has a layer
// of its own.
func NewPlatforms(f Format, name string, ownSize int64, architectures []string, shared ...Layer) v1.ImageIndex {
	var children []mutate.Appendable
	for _, architecture := range architectures {
		own := NewLayer(name+"-"+architecture, ownSize)
		children = append(children, NewImage(f, name, architecture, append(slices.Clip(shared), own)...))
	}
	return NewIndex(f, children...)
}

// platform returns the platform of an image for its index, and nil for anything else.
func platform(child mutate.Appendable) *v1.Platform {
	img, ok := child.(v1.Image)
	if !ok {
		return nil
	}
	config, err := img.ConfigFile()
	must(err)
	return config.Platform()
}

// A BareManifest is pushed as it is, without anything that it refers to.
type BareManifest struct {
	Type    types.MediaType
	Content []byte
}

// RawManifest returns the content.
func (m BareManifest) RawManifest() ([]byte, error) { return m.Content, nil }

// MediaType returns the type.
func (m BareManifest) MediaType() (types.MediaType, error) { return m.Type, nil }

// An imageCore has the methods of an image that go-containerregistry asks for.
type imageCore struct {
	BareManifest
	config []byte
	layers map[v1.Hash]Layer
}

func (c imageCore) RawConfigFile() ([]byte, error) { return c.config, nil }

func (c imageCore) LayerByDigest(digest v1.Hash) (partial.CompressedLayer, error) {
	l, ok := c.layers[digest]
	if !ok {
		return nil, fmt.Errorf("the image has no layer %s", digest)
	}
	return layerCore{l}, nil
}

func assemble(mediaType, configType types.MediaType, config []byte, layers []Layer) v1.Image {
	hash, size, err := v1.SHA256(bytes.NewReader(config))
	must(err)
	m := v1.Manifest{
		SchemaVersion: 2,
		MediaType:     mediaType,
		Config:        v1.Descriptor{MediaType: configType, Size: size, Digest: hash},
		Layers:        []v1.Descriptor{},
	}
	core := imageCore{config: config, layers: map[v1.Hash]Layer{}}
	for _, l := range layers {
		m.Layers = append(m.Layers, l.descriptor())
		core.layers[l.Digest] = l
	}
	core.BareManifest = BareManifest{mediaType, encode(m)}
	img, err := partial.CompressedToImage(core)
	must(err)
	return img
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	must(err)
	return b
}
