// Package base makes the base image of the commands' images. It has the certificates of public
// authorities, a user that is not root, and nothing else. It is the same, byte for byte,
// wherever it is built.
package base

import (
	"context"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Push builds the image for both architectures and pushes it to a tag. It returns the image's name
// with its digest.
func Push(ctx context.Context, to string) (string, error) {
	ref, err := name.ParseReference(to)
	if err != nil {
		return "", err
	}
	index, err := build("amd64", "arm64")
	if err != nil {
		return "", err
	}
	err = remote.WriteIndex(ref, index,
		remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain))
	if err != nil {
		return "", err
	}
	digest, err := index.Digest()
	if err != nil {
		return "", err
	}
	return ref.Context().Digest(digest.String()).String(), nil
}
