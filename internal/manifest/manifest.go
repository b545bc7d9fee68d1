// Package manifest reads image manifests and indexes as far as copying needs: which manifests
// and blobs they refer to. It supports Docker schema 2, OCI, nested indexes, and artifacts of
// any media type. Manifests come from outside, so they are bounded and checked. Their bytes
// are never changed.
package manifest

import (
	"strings"

	"imagemirror/internal/strictjson"
)

// MaxSize is the largest size of a manifest in bytes. Registries should accept manifests of
// this size (OCI distribution spec, "Pushing Manifests"), and need not accept larger ones.
const MaxSize = 4 << 20

// MaxBlob is the largest size of a blob in bytes. No registry is known to take larger ones; what
// claims more is a mistake, or an attempt to make sums overflow.
const MaxBlob = 1 << 40

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
	ORASArtifact        = "application/vnd.cncf.oras.artifact.manifest.v1+json"
)

// Accept is the Accept header of requests for a manifest. It includes schema 1 because a
// registry that has nothing else would otherwise report that the image does not exist.
var Accept = strings.Join([]string{
	OCIIndex, OCIManifest, DockerList, DockerManifest, OCIArtifact, ORASArtifact, DockerSchema1Signed, DockerSchema1,
}, ", ")

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
	Subject   string       // digest of the manifest that it refers to, or "" (OCI 1.1)
	Artifact  string       // of a manifest with a subject: its artifact type, or else its config's media type
	Children  []Descriptor // of an index: manifests and indexes
	Blobs     []Descriptor // config and layers; of an index, the entries that are not manifests
}

// Parse reads a manifest. mediaType is the Content-Type of the response and may be empty. Its
// errors tell what is wrong with the manifest, and have a method Advice. It fails with
// ErrSchema1 for an image in Docker schema 1.
//
// What two programs could read as two images is refused. Everything else is copied, whatever
// its media types, fields and annotations.
func Parse(mediaType string, b []byte) (Manifest, error) {
	if len(b) > MaxSize {
		return Manifest{}, refuse(ofImage, "the manifest has %d bytes, and at most %d are allowed", len(b), MaxSize)
	}
	document, err := strictjson.Parse(b)
	if err != nil {
		return Manifest{}, refuse(ofImage, "the manifest is not JSON: %w", err)
	}
	f, err := readFields(document)
	if err != nil {
		return Manifest{}, err
	}
	kind, err := f.kind(mediaType)
	if err != nil {
		return Manifest{}, err
	}
	return f.references(kind)
}

// IsManifest reports whether a media type is that of a manifest or an index.
func IsManifest(mediaType string) bool {
	switch mediaType {
	case DockerManifest, OCIManifest, OCIArtifact, ORASArtifact, DockerSchema1, DockerSchema1Signed:
		return true
	}
	return IsIndex(mediaType)
}

func isSchema1(mediaType string) bool {
	return mediaType == DockerSchema1 || mediaType == DockerSchema1Signed
}

// IsIndex reports whether a media type is that of an OCI index or a Docker manifest list.
func IsIndex(mediaType string) bool { return mediaType == DockerList || mediaType == OCIIndex }

// Foreign reports whether a layer may not be redistributed and has URLs elsewhere. Its blob
// need not be in the registry (OCI image spec, "Non-Distributable Layers"; Docker foreign
// layers).
func (d Descriptor) Foreign() bool {
	return len(d.URLs) > 0 && (strings.Contains(d.MediaType, ".nondistributable.") || strings.Contains(d.MediaType, ".foreign."))
}
