package plan

import (
	"net/http"

	"imagemirror/internal/fault"
	"imagemirror/internal/regerror"
)

// explainMissing adds to the error of a manifest that does not exist where its digest is from:
// the registry announced it for a tag.
func explainMissing(err error, digest, tag string) error {
	known, ok := err.(*regerror.Error)
	if !ok || known.Status != http.StatusNotFound || known.Ref != digest {
		return err
	}
	e := *known
	e.Err = missingTagError(tag)
	return &e
}

// A missingTagError names the tag that the digest of a missing manifest was announced for.
type missingTagError string

// Kind returns what kind of failure the error is the cause of.
func (e missingTagError) Kind() fault.Kind { return fault.Missing }

func (e missingTagError) Error() string {
	return "the registry announced this digest for the tag " + string(e)
}

// Advice returns what a person can do about the error.
func (e missingTagError) Advice() string {
	return "run again; if it persists, push the tag to the source again, or ask the registry's operators"
}

// explainChild adds to the error of a manifest that does not exist that the image's index, which
// has the digest root, leads to it.
func explainChild(err error, root string) error {
	known, ok := err.(*regerror.Error)
	if !ok || known.Status != http.StatusNotFound || known.Ref == root {
		return err
	}
	e := *known
	e.Err = missingChildError(root)
	return &e
}

// A missingChildError names the index that leads to a missing manifest.
type missingChildError string

// Kind returns what kind of failure the error is the cause of.
func (e missingChildError) Kind() fault.Kind { return fault.Missing }

func (e missingChildError) Error() string {
	return "the index " + string(e) + " lists it, and the repository does not have it"
}

// Advice returns what a person can do about the error.
func (e missingChildError) Advice() string {
	return "push the image's missing platforms to the source, or map those that are there by their digests"
}
