package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"imagemirror/internal/imageset"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/verify/signtest"
)

// The set whose first image is signed, and the public key below the demo's directory.
const (
	signedSet = "knative"
	publicKey = "cosign.pub"
)

// sign signs the first image of a set at the source, and builds what verifies it.
func (w *world) sign(ctx context.Context) error {
	cosign, err := registrytest.BuildCosign(os.Stdout)
	if err != nil {
		return err
	}
	if err := os.Symlink(cosign, filepath.Join(w.dir, "bin", "cosign")); err != nil {
		return err
	}
	input, err := imageset.Load([]string{filepath.Join(w.dir, "image-sets", signedSet)}, nil)
	if err != nil {
		return err
	}
	m := input.Sets[0].Mappings[0]
	w.signed.source = w.backends[0] + "/" + m.Source.Repository + ":" + m.Source.Tag
	w.signed.destination = w.backends[1] + "/" + m.Destination.Repository + ":" + m.Destination.Tag
	ref, err := name.ParseReference(w.signed.source)
	if err != nil {
		return err
	}
	image, err := remote.Head(ref, remote.WithContext(ctx))
	if err != nil {
		return err
	}
	key := signtest.NewKeyPair()
	if err := os.WriteFile(filepath.Join(w.dir, publicKey), key.Public, 0o600); err != nil {
		return err
	}
	return signtest.SignImage(ctx, ref.Context().Name(), image.Digest.String(), key)
}

// showUnverified shows that cosign finds the signature at the source only.
func showUnverified(ctx context.Context, w *world) error {
	say("Someone signed an image at the source. Cosign verifies it there, and not yet at the destination.")
	if err := w.run(ctx, 0, []string{"cosign", "verify", "-key", publicKey}, []string{w.signed.source}); err != nil {
		return err
	}
	return w.run(ctx, 1, []string{"cosign", "verify", "-key", publicKey}, []string{w.signed.destination})
}

// showVerified shows that the signature has come with the image.
func showVerified(ctx context.Context, w *world) error {
	say("The signature travelled with its image, and was there before the tag:")
	return w.run(ctx, 0, []string{"cosign", "verify", "-key", publicKey}, []string{w.signed.destination})
}
