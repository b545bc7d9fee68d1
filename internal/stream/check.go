package stream

import (
	"fmt"

	"imagemirror/internal/digest"
	"imagemirror/internal/reference"
)

// MaxAttached is the largest number of attachments of a copy.
const MaxAttached = 1000

// checkAttached fails unless what travels with an image is named so that it can be asked for.
func checkAttached(c Copy) error {
	if len(c.Attached) > MaxAttached {
		return fmt.Errorf("the copy of mapping %d has %d attachments, and at most %d are allowed", c.ID, len(c.Attached), MaxAttached)
	}
	for _, a := range c.Attached {
		what := fmt.Sprintf("an attachment of the copy of mapping %d", c.ID)
		switch {
		case a.Error != nil:
		case !digest.Valid(a.Digest):
			return digestError(what, a.Digest)
		case a.Subject != "" && !digest.Valid(a.Subject):
			return digestError(what, a.Subject)
		case a.Tag != "":
			if r, err := reference.Parse("registry.example/x:" + a.Tag); err != nil || r.Tag != a.Tag {
				return fmt.Errorf("%s has the invalid tag %.80q", what, a.Tag)
			}
		}
	}
	return nil
}

// Bounds on what a record says of an image of which some platforms are published.
const (
	MaxOnly      = 512 // manifests that are copied below an index, if others are not
	maxPlatforms = 64
)

// checkPart fails unless the fields of a record that tell which part of an image is published are
// valid.
func checkPart(record string, platforms []string, rewritten string, only []string) error {
	if len(platforms) > maxPlatforms || len(only) > MaxOnly {
		return fmt.Errorf("%s has %d platforms and %d manifests, and at most %d and %d are allowed", record, len(platforms), len(only), maxPlatforms, MaxOnly)
	}
	if rewritten != "" && !digest.Valid(rewritten) {
		return digestError(record, rewritten)
	}
	for _, d := range only {
		if !digest.Valid(d) {
			return digestError(record, d)
		}
	}
	return nil
}

// digestError returns the error of a record with an invalid digest.
func digestError(record, got string) error {
	return fmt.Errorf("%s has the digest %.80q, which is not sha256: and 64 hexadecimal digits", record, got)
}
