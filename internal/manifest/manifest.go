// Package manifest reads image manifests and indexes as far as copying needs: which manifests
// and blobs they refer to. It supports Docker schema 2, OCI, nested indexes, and artifacts of
// any media type. Manifests come from outside, so they are bounded and checked. Their bytes
// are never changed.
package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"strings"

	"imagemirror/internal/digest"
)

// MaxSize is the largest size of a manifest in bytes. Registries should accept manifests of
// this size (OCI distribution spec, "Pushing Manifests"), and need not accept larger ones.
const MaxSize = 4 << 20

// MaxDepth bounds how deep indexes may be nested within indexes.
const MaxDepth = 8

// Media types of manifests.
const (
	DockerSchema1       = "application/vnd.docker.distribution.manifest.v1+json"
	DockerSchema1Signed = "application/vnd.docker.distribution.manifest.v1+prettyjws"
	DockerManifest      = "application/vnd.docker.distribution.manifest.v2+json"
	DockerList          = "application/vnd.docker.distribution.manifest.list.v2+json"
	OCIManifest         = "application/vnd.oci.image.manifest.v1+json"
	OCIIndex            = "application/vnd.oci.image.index.v1+json"
	OCIArtifact         = "application/vnd.oci.artifact.manifest.v1+json" // in OCI 1.1-rc
)

// Accept is the Accept header of requests for a manifest. It includes schema 1 because a
// registry that has nothing else would otherwise report that the image does not exist.
var Accept = strings.Join([]string{
	OCIIndex, OCIManifest, DockerList, DockerManifest, OCIArtifact, DockerSchema1Signed, DockerSchema1,
}, ", ")

// ErrSchema1 is the error of Parse for an image in Docker schema 1.
var ErrSchema1 = errors.New("the image is in Docker schema 1, which registries no longer accept: " +
	"push it again with a current client, which writes schema 2 or OCI")

// A Raw is a manifest or an index as its registry sent it. In a stream it is a record, with
// the content in base64.
type Raw struct {
	Digest    string `json:"digest"`
	MediaType string `json:"mediaType"` // the Content-Type of the source registry
	Content   []byte `json:"content"`   // at most MaxSize bytes
}

// A Descriptor points to a manifest or a blob.
type Descriptor struct {
	MediaType string   `json:"mediaType"`
	Digest    string   `json:"digest"`
	Size      int64    `json:"size"` // bytes
	URLs      []string `json:"urls,omitempty"`
}

// A Manifest is what a manifest or an index refers to. Children and Blobs have each digest
// once.
type Manifest struct {
	MediaType string
	Children  []Descriptor // of an index: manifests and indexes
	Blobs     []Descriptor // config and layers; of an index, the entries that are not manifests
}

// fields are all that any of the formats has.
type fields struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        *Descriptor  `json:"config"`
	Layers        []Descriptor `json:"layers"`
	Blobs         []Descriptor `json:"blobs"`
	Manifests     []Descriptor `json:"manifests"`
	FSLayers      any          `json:"fsLayers"`
}

// Parse reads a manifest. mediaType is the Content-Type of the response and may be empty. It
// fails with ErrSchema1, or with an error that tells what is wrong.
func Parse(mediaType string, b []byte) (Manifest, error) {
	if len(b) > MaxSize {
		return Manifest{}, fmt.Errorf("the manifest has %d bytes, and at most %d are allowed", len(b), MaxSize)
	}
	var c fields
	if err := json.Unmarshal(b, &c); err != nil {
		return Manifest{}, fmt.Errorf("the manifest is not JSON: %w", err)
	}
	kind, err := c.kind(mediaType)
	if err != nil {
		return Manifest{}, err
	}
	m := Manifest{MediaType: kind}
	var s seen
	if IsIndex(kind) {
		for _, d := range c.Manifests {
			if IsManifest(d.MediaType) {
				m.Children = s.add(m.Children, d)
			} else {
				m.Blobs = s.add(m.Blobs, d)
			}
		}
		return m, s.err
	}
	if c.Config != nil {
		m.Blobs = s.add(m.Blobs, *c.Config)
	}
	for _, d := range c.Layers {
		m.Blobs = s.add(m.Blobs, d)
	}
	for _, d := range c.Blobs {
		m.Blobs = s.add(m.Blobs, d)
	}
	return m, s.err
}

// kind returns the media type: the one in the content, or else the registry's, or else the
// one that the fields suggest. OCI makes the field optional, and some registries serve
// application/json.
func (c fields) kind(mediaType string) (string, error) {
	given, _, err := mime.ParseMediaType(mediaType)
	if err != nil {
		given = ""
	}
	kind := c.MediaType
	// Docker's manifests always have the field.
	if kind == "" && IsManifest(given) && given != DockerManifest && given != DockerList {
		kind = given
	}
	switch {
	case c.SchemaVersion == 1 || c.FSLayers != nil || kind == DockerSchema1 || kind == DockerSchema1Signed:
		return "", ErrSchema1
	case c.MediaType != "" && IsManifest(given) && given != c.MediaType:
		return "", fmt.Errorf("the manifest has the media type %q, but the registry sent %q", c.MediaType, given)
	case IsManifest(kind):
		if IsIndex(kind) && (c.Config != nil || c.Layers != nil) || !IsIndex(kind) && c.Manifests != nil {
			return "", fmt.Errorf("the manifest of type %q has fields of both an image and an index", kind)
		}
		return kind, nil
	case kind != "":
		return "", fmt.Errorf("the media type %q is not that of an image, an index or an artifact", kind)
	case c.Manifests != nil && c.Layers == nil && c.Config == nil:
		return OCIIndex, nil
	case c.Config != nil && c.Manifests == nil:
		return OCIManifest, nil
	}
	return "", fmt.Errorf("the manifest has no media type (the registry sent %q) and is neither an image nor an index", given)
}

// IsManifest reports whether a media type is that of a manifest or an index.
func IsManifest(mediaType string) bool {
	switch mediaType {
	case DockerManifest, OCIManifest, OCIArtifact, DockerSchema1, DockerSchema1Signed:
		return true
	}
	return IsIndex(mediaType)
}

// IsIndex reports whether a media type is that of an OCI index or a Docker manifest list.
func IsIndex(mediaType string) bool { return mediaType == DockerList || mediaType == OCIIndex }

// Foreign reports whether a layer may not be redistributed and has URLs elsewhere. Its blob
// need not be in the registry (OCI image spec, "Non-Distributable Layers"; Docker foreign
// layers).
func (d Descriptor) Foreign() bool {
	return len(d.URLs) > 0 && (strings.Contains(d.MediaType, ".nondistributable.") || strings.Contains(d.MediaType, ".foreign."))
}

// seen checks descriptors and drops repeated ones.
type seen struct {
	size map[string]int64
	err  error
}

func (s *seen) add(list []Descriptor, d Descriptor) []Descriptor {
	if s.err != nil {
		return list
	}
	switch {
	case !digest.Valid(d.Digest):
		s.err = fmt.Errorf("the manifest refers to the digest %.80q, and only sha256 digests can be copied", d.Digest)
		return list
	case d.Size < 0:
		s.err = fmt.Errorf("the manifest gives %s the size %d", d.Digest, d.Size)
		return list
	}
	size, twice := s.size[d.Digest]
	if twice {
		if size != d.Size {
			s.err = fmt.Errorf("the manifest gives %s the sizes %d and %d", d.Digest, size, d.Size)
		}
		return list
	}
	if s.size == nil {
		s.size = map[string]int64{}
	}
	s.size[d.Digest] = d.Size
	return append(list, d)
}
