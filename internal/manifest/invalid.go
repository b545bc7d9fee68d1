package manifest

import (
	"errors"
	"fmt"

	"imagemirror/internal/fault"
)

// ErrSchema1 is the error of Parse for an image in Docker schema 1.
var ErrSchema1 error = &invalidError{
	errors.New("the image is in Docker schema 1, which registries no longer accept"),
	"push it to the source again with a current client, which writes schema 2 or OCI",
}

// WrongSize returns the error of a manifest that gives a blob another size than it has.
func WrongSize(gives int64, has string) error {
	return refuse(ofImage, "the manifest gives the blob %d bytes, but it has %s", gives, has)
}

// An invalidError tells why a manifest is not copied, and what a person can do about it.
type invalidError struct {
	error
	advice string
}

func (e *invalidError) Advice() string   { return e.advice }
func (e *invalidError) Kind() fault.Kind { return fault.Image }
func (e *invalidError) Unwrap() error    { return e.error }

// What a person can do about an invalidError.
const (
	ofImage = "push the image to the source again with a current client: what wrote this manifest is at fault"
	ofType  = "push the image to the source again, or ask the registry's operators which of the two is right"
	ofKind  = "mirror what the manifest wraps by itself, or remove the mapping"
	ofSize  = "correct the size, or divide the content into smaller layers, and push the image to the source again"
	ofHash  = "build the image with sha256 digests, which all registries support"
)

// maxShown bounds what a message quotes of a manifest, in characters.
const maxShown = 80

func refuse(advice, format string, args ...any) error {
	return &invalidError{fmt.Errorf(format, args...), advice}
}
