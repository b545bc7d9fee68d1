// Package manifest reads image manifests and indexes, as far as copying needs it: what they lead to. It knows
// Docker schema 2 and OCI, indexes within indexes, and artifacts of any media type. Manifests come from outside
// and are bounded and checked; their bytes are never changed.
package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"strings"

	"imagemirror/internal/digest"
)

// MaxSize is the largest manifest that is accepted, in bytes. Registries are asked to accept as much
// (OCI distribution spec, "Pushing Manifests"), and not more.
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
	OCIArtifact         = "application/vnd.oci.artifact.manifest.v1+json" // of OCI 1.1's release candidates
)

// Accept is the Accept header for asking a registry for a manifest. Schema 1 is in it so that a registry
// that has nothing else says so, instead of answering that there is no such image.
var Accept = strings.Join([]string{
	OCIIndex, OCIManifest, DockerList, DockerManifest, OCIArtifact, DockerSchema1Signed, DockerSchema1,
}, ", ")

// ErrSchema1 is Parse's error for an image in Docker's schema 1.
var ErrSchema1 = errors.New("the image is in Docker's schema 1, which registries no longer take: " +
	"push it again with a current client, which writes schema 2 or OCI")

// Raw is a manifest or an index as its registry sent it. In a plan it is a record, with its content in base64.
type Raw struct {
	Digest    string `json:"digest"`
	MediaType string `json:"mediaType"` // the Content-Type of the source registry
	Content   []byte `json:"content"`   // at most MaxSize bytes
}

// Descriptor points to a manifest or a blob.
type Descriptor struct {
	MediaType string   `json:"mediaType"`
	Digest    string   `json:"digest"`
	Size      int64    `json:"size"` // bytes
	URLs      []string `json:"urls,omitempty"`
}

// Manifest is what a manifest or an index leads to. No digest is twice among Children, or among Blobs.
type Manifest struct {
	MediaType string
	Children  []Descriptor // manifests and indexes, of an index
	Blobs     []Descriptor // config and layers, and an index's entries that are no manifests
}

// fields is the union of what the formats have.
type fields struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        *Descriptor  `json:"config"`
	Layers        []Descriptor `json:"layers"`
	Blobs         []Descriptor `json:"blobs"`
	Manifests     []Descriptor `json:"manifests"`
	FSLayers      any          `json:"fsLayers"`
}

// Parse reads a manifest. mediaType is the Content-Type that the registry gave, and may be empty. Its errors are
// ErrSchema1 or say what is wrong with the manifest.
func Parse(mediaType string, b []byte) (Manifest, error) {
	if len(b) > MaxSize {
		return Manifest{}, fmt.Errorf("the manifest has %d bytes, and more than %d are not accepted", len(b), MaxSize)
	}
	var c fields
	if err := json.Unmarshal(b, &c); err != nil {
		return Manifest{}, fmt.Errorf("the manifest is no JSON: %w", err)
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

// kind decides the media type: the content's own word, then the registry's, then what its fields look like. (In OCI
// the field mediaType is optional, and registries have served manifests as application/json.)
func (c fields) kind(mediaType string) (string, error) {
	given, _, err := mime.ParseMediaType(mediaType)
	if err != nil {
		given = ""
	}
	kind := c.MediaType
	if kind == "" && IsManifest(given) && given != DockerManifest && given != DockerList { // those two always have the field
		kind = given
	}
	switch {
	case c.SchemaVersion == 1 || c.FSLayers != nil || kind == DockerSchema1 || kind == DockerSchema1Signed:
		return "", ErrSchema1
	case c.MediaType != "" && IsManifest(given) && given != c.MediaType:
		return "", fmt.Errorf("the manifest says it is %q and the registry says it is %q", c.MediaType, given)
	case IsManifest(kind):
		if IsIndex(kind) && (c.Config != nil || c.Layers != nil) || !IsIndex(kind) && c.Manifests != nil {
			return "", fmt.Errorf("the manifest of type %q has the fields of an image and of an index", kind)
		}
		return kind, nil
	case kind != "":
		return "", fmt.Errorf("the media type %q is none of an image, an index or an artifact", kind)
	case c.Manifests != nil && c.Layers == nil && c.Config == nil:
		return OCIIndex, nil
	case c.Config != nil && c.Manifests == nil:
		return OCIManifest, nil
	}
	return "", fmt.Errorf("the manifest has no media type (the registry says %q) and does not look like an image or an index", given)
}

// IsManifest says whether a media type is that of a manifest or an index.
func IsManifest(mediaType string) bool {
	switch mediaType {
	case DockerManifest, OCIManifest, OCIArtifact, DockerSchema1, DockerSchema1Signed:
		return true
	}
	return IsIndex(mediaType)
}

// IsIndex says whether a media type is that of an index, Docker's manifest list among them.
func IsIndex(mediaType string) bool { return mediaType == DockerList || mediaType == OCIIndex }

// Foreign says whether a layer is not for redistribution and is to be had elsewhere, so that its blob need not be in
// the registry (OCI image spec, "Non-Distributable Layers"; Docker's foreign layers).
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
		s.err = fmt.Errorf("the manifest names the digest %.80q, and only sha256 digests can be copied", d.Digest)
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
