package registrytest

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Write pushes an image, an index with everything it leads to, or a BareManifest, to
// HOST/REPO:TAG or HOST/REPO@DIGEST, and returns its digest. It does not push foreign layers.
func Write(ctx context.Context, ref string, what remote.Taggable, options ...remote.Option) (string, error) {
	to, err := name.ParseReference(ref)
	if err != nil {
		return "", err
	}
	if err := remote.Push(to, what, append(slices.Clip(options), remote.WithContext(ctx))...); err != nil {
		return "", fmt.Errorf("pushing %q: %w", ref, err)
	}
	return DigestOf(what)
}

// DigestOf returns the digest of an image, an index or a BareManifest.
func DigestOf(what remote.Taggable) (string, error) {
	described, ok := what.(partial.Describable)
	if !ok {
		raw, err := what.RawManifest()
		if err != nil {
			return "", err
		}
		hash, _, err := v1.SHA256(bytes.NewReader(raw))
		return hash.String(), err
	}
	hash, err := described.Digest()
	return hash.String(), err
}
