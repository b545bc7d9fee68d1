// Base pushes the image that the images of the commands are built on: the certificates of public authorities, a user that is
// not root, and nothing else. It is the same, byte for byte, wherever it is built.
//
//	go run ./images/base REGISTRY/REPOSITORY:TAG
//
// It prints the image's name with its digest.
package main

import (
	"fmt"
	"os"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: base REGISTRY/REPOSITORY:TAG")
		os.Exit(2)
	}
	pushed, err := push(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "base:", err)
		os.Exit(1)
	}
	fmt.Println(pushed)
}

func push(to string) (string, error) {
	ref, err := name.ParseReference(to)
	if err != nil {
		return "", err
	}
	index, err := build("amd64", "arm64")
	if err != nil {
		return "", err
	}
	if err := remote.WriteIndex(ref, index, remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
		return "", err
	}
	digest, err := index.Digest()
	if err != nil {
		return "", err
	}
	return ref.Context().Digest(digest.String()).String(), nil
}
