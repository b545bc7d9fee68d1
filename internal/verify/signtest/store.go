package signtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"imagemirror/internal/registrytest"
)

// SignImage signs the image with a digest in a repository, HOST/PATH, with cosign's tag.
func SignImage(ctx context.Context, repository, digest string, by Signer, options ...remote.Option) error {
	return StoreSignatures(ctx, repository, digest, ".sig", []Signature{by.Sign(repository, digest)}, options...)
}

// AttestImage stores an attestation of an image under cosign's tag.
func AttestImage(ctx context.Context, repository, digest, predicateType string, by Signer, options ...remote.Option) error {
	return StoreSignatures(ctx, repository, digest, ".att", []Signature{by.Attest(digest, predicateType)}, options...)
}

// BundleImage stores a Sigstore bundle as a referrer of an image, and returns its digest. It is a
// signature if the type is SignPredicate, and otherwise an attestation.
func BundleImage(ctx context.Context, repository, digest, predicateType string, by Signer, options ...remote.Option) (string, error) {
	return StoreBundle(ctx, repository, digest, predicateType, by.Bundle(digest, predicateType), options...)
}

// StoreSignatures stores signatures under the tag that cosign derives from an image's digest,
// with a suffix such as .sig. It replaces those that are there.
func StoreSignatures(ctx context.Context, repository, digest, suffix string, signatures []Signature, options ...remote.Option) error {
	m := newManifest("application/vnd.oci.image.config.v1+json")
	for _, s := range signatures {
		m.layers = append(m.layers, layer{s.MediaType, s.Payload, s.Annotations})
	}
	_, err := m.push(ctx, repository, ":"+strings.Replace(digest, ":", "-", 1)+suffix, options)
	return err
}

// StoreBundle stores any content as a bundle that refers to an image, and returns the digest of its
// manifest. The predicate type is what the manifest says; an empty one is left out.
func StoreBundle(ctx context.Context, repository, digest, predicateType string, content []byte, options ...remote.Option) (string, error) {
	repo, err := name.NewRepository(repository)
	if err != nil {
		return "", err
	}
	image, err := remote.Head(repo.Digest(digest), append(options, remote.WithContext(ctx))...)
	if err != nil {
		return "", err
	}
	m := newManifest("application/vnd.oci.empty.v1+json")
	m.fields["artifactType"], m.fields["subject"] = BundleType, v1.Descriptor{MediaType: image.MediaType, Digest: image.Digest, Size: image.Size}
	m.fields["annotations"] = map[string]string{"dev.sigstore.bundle.content": "dsse-envelope"}
	if predicateType != "" {
		m.fields["annotations"] = map[string]string{"dev.sigstore.bundle.content": "dsse-envelope", "dev.sigstore.bundle.predicateType": predicateType}
	}
	m.layers = []layer{{BundleType, content, nil}}
	return m.push(ctx, repository, "@", options)
}

// A layer is a blob with annotations.
type layer struct {
	mediaType   string
	content     []byte
	annotations map[string]string
}

// A manifest is one that is about to be pushed.
type manifest struct {
	fields map[string]any
	config layer
	layers []layer
}

func newManifest(configType string) *manifest {
	return &manifest{fields: map[string]any{"schemaVersion": 2, "mediaType": types.OCIManifestSchema1}, config: layer{mediaType: configType, content: []byte("{}")}}
}

func (l layer) descriptor() v1.Descriptor {
	sum := sha256.Sum256(l.content)
	return v1.Descriptor{
		MediaType: types.MediaType(l.mediaType), Size: int64(len(l.content)), Annotations: l.annotations,
		Digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])},
	}
}

// push pushes the blobs, then the manifest to :TAG, or to its digest if at is "@".
func (m *manifest) push(ctx context.Context, repository, at string, options []remote.Option) (string, error) {
	options = append(append([]remote.Option{}, options...), remote.WithContext(ctx))
	repo, err := name.NewRepository(repository)
	if err != nil {
		return "", err
	}
	m.fields["config"] = m.config.descriptor()
	descriptors := []v1.Descriptor{}
	pushed := map[v1.Hash]bool{}
	for _, l := range append([]layer{m.config}, m.layers...) {
		d := l.descriptor().Digest
		if pushed[d] {
			continue
		}
		pushed[d] = true
		if err := remote.WriteLayer(repo, static.NewLayer(l.content, types.MediaType(l.mediaType)), options...); err != nil {
			return "", err
		}
	}
	for _, l := range m.layers {
		descriptors = append(descriptors, l.descriptor())
	}
	m.fields["layers"] = descriptors
	content, err := json.Marshal(m.fields)
	if err != nil {
		return "", err
	}
	hash, _, err := v1.SHA256(bytes.NewReader(content))
	if err != nil {
		return "", err
	}
	if at == "@" {
		at += hash.String()
	}
	return registrytest.Write(ctx, repository+at, registrytest.BareManifest{Type: types.OCIManifestSchema1, Content: content}, options...)
}
