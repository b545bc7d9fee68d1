package plan

import (
	"net/http"

	"imagemirror/internal/fault"
	"imagemirror/internal/regerror"
)

// A missing is the cause of a failure to read a manifest that its registry has announced, and does
// not have.
type missing struct {
	announced string // where the registry has announced it
	advice    string
}

// Kind returns what kind of failure the error is the cause of.
func (missing) Kind() fault.Kind { return fault.Missing }

func (m missing) Error() string { return m.announced }

// Advice returns what a person can do about the error.
func (m missing) Advice() string { return m.advice }

// explain adds to the error of a manifest that does not exist why it was asked for, if is reports
// that this is the reason for its digest.
func (m missing) explain(err error, is func(digest string) bool) error {
	known, ok := err.(*regerror.Error)
	if !ok || known.Status != http.StatusNotFound || !is(known.Ref) {
		return err
	}
	e := *known
	e.Err = m
	return &e
}

// explainMissing adds to the error of a manifest that does not exist where its digest is from:
// the registry announced it for a tag.
func explainMissing(err error, digest, tag string) error {
	return missing{
		"the registry announced this digest for the tag " + tag,
		"run again; if it persists, push the tag to the source again, or ask the registry's operators",
	}.explain(err, func(other string) bool { return other == digest })
}

// explainChild adds to the error of a manifest that does not exist that the image's index, which
// has the digest root, leads to it.
func explainChild(err error, root string) error {
	return missing{
		"the index " + root + " lists it, and the repository does not have it",
		"push the image's missing platforms to the source, or map those that are there by their digests",
	}.explain(err, func(other string) bool { return other != root })
}

// explainReferrer adds to the error of a manifest that does not exist that the registry lists it as
// a referrer of another one.
func explainReferrer(err error, digest, subject string) error {
	return missing{
		"the registry lists it as a referrer of " + subject + ", and the repository does not have it",
		"push the referrer to the source again, or remove it from the list, which is the index under the tag sha256-HEX in a registry without the referrers API",
	}.explain(err, func(other string) bool { return other == digest })
}
