// Package prune finds tags that an image set has published and that no mapping names any more, and
// deletes those of them that a person has reviewed.
//
// It takes two steps. Propose makes a Proposal: what may be deleted, by the record of the set
// and by what the registries have now. Apply deletes what the file lists if it is still as the
// file says. Only what runs of the set have pushed is ever listed. Tags are deleted as tags, and
// manifests by their digest only if they are referrers of an image that no tag leads to any
// more: a registry deletes all tags of a digest with it.
package prune

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"imagemirror/internal/digest"
	"imagemirror/internal/reference"
	"imagemirror/internal/settings"
	"imagemirror/internal/strictjson"
	"imagemirror/internal/text"
)

// Version is the version of the format of files, and the only one that is read.
const Version = 1

// Bounds on a file.
const (
	MaxFile = 16 << 20           // bytes
	MaxAge  = 7 * 24 * time.Hour // after which the file has to be made again
	maxTags = 10_000
	maxWith = 500  // of a tag
	maxText = 1000 // characters
)

// A Proposal lists what may be deleted of what one image set has published.
type Proposal struct {
	Version int       `json:"version"`
	Set     string    `json:"set"`
	Created time.Time `json:"created"`
	After   string    `json:"after"` // how long no mapping has named the tags
	Most    int       `json:"most"`  // tags that one Apply deletes
	Tags    []Tag     `json:"tags"`  // by name
	Left    []Left    `json:"left,omitempty"`

	// Deleted are names that the record has and the registries do not.
	Deleted []string `json:"deleted,omitempty"`
}

// A Tag is a tag that may be deleted.
type Tag struct {
	Tag      string    `json:"tag"` // HOST/REPOSITORY:TAG
	Digest   string    `json:"digest"`
	Unwanted time.Time `json:"unwanted"` // since when no mapping names it
	Age      string    `json:"age"`      // of that, for people
	Reason   string    `json:"reason"`
	With     []With    `json:"with,omitempty"` // what is deleted after it
}

// A With is deleted after a tag, in the same repository.
type With struct {
	Kind   string `json:"kind"`
	Tag    string `json:"tag,omitempty"` // "" if it is deleted by its digest
	Digest string `json:"digest"`
}

// Kinds of a With. The first two are tags of images, the others go only after the last tag of
// their image.
const (
	Additional = "additional tag"
	Kept       = "kept image"
	Companion  = "tag of the image's digest" // cosign's, or that of the index of referrers
	Referrer   = "referrer"
)

// A Left is a tag that no mapping names and that is not listed.
type Left struct {
	Tag string `json:"tag"`
	Why string `json:"why"`
}

var decoder = strictjson.NewDecoder[*Proposal]()

// Read reads a file. It refuses what Write does not write.
func Read(content []byte) (*Proposal, error) {
	if len(content) > MaxFile {
		return nil, fmt.Errorf("the file has %d bytes, and at most %d are allowed", len(content), MaxFile)
	}
	var lax struct{ Version int }
	if json.Unmarshal(content, &lax) == nil && lax.Version != Version {
		return nil, fmt.Errorf("the file has version %d, and this program reads version %d: make it again with imagemirror prune", lax.Version, Version)
	}
	f, err := decoder.Decode(content)
	if err == nil && f == nil {
		err = errors.New("null")
	}
	if err == nil {
		err = f.check()
	}
	return f, err
}

// Write returns the file as JSON, with indents: people review it.
func (f *Proposal) Write() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(f)
	return b.Bytes(), err
}

func (f *Proposal) check() error {
	if err := settings.CheckName(f.Set); err != nil && !isLine(f.Set) {
		return fmt.Errorf("the name of the set %.80q: %w", f.Set, err)
	}
	switch {
	case f.Most < 1 || f.Most > settings.MaxPruneMost:
		return fmt.Errorf("most is %d: 1 to %d tags are deleted at once", f.Most, settings.MaxPruneMost)
	case len(f.Tags) > maxTags || len(f.Left) > maxTags || len(f.Deleted) > maxTags:
		return fmt.Errorf("the file has more than %d tags", maxTags)
	case f.Created.IsZero():
		return errors.New("the file does not say when it was created")
	}
	seen := map[string]bool{}
	for _, t := range f.Tags {
		if seen[t.Tag] {
			return fmt.Errorf("%.300q is listed twice", t.Tag)
		}
		seen[t.Tag] = true
		if err := t.check(); err != nil {
			return err
		}
	}
	for _, l := range f.Left {
		if !isLine(l.Tag, l.Why) {
			return fmt.Errorf("%.300q is not a printable line", l.Tag)
		}
	}
	if !isLine(f.Deleted...) {
		return errors.New("the name of a tag that is deleted is not a printable line")
	}
	return nil
}

func (t *Tag) check() error {
	r, err := reference.Parse(t.Tag)
	switch {
	case err != nil:
		return err
	case r.Tag == "" || r.Digest != "" || r.String() != t.Tag:
		return fmt.Errorf("%.300q is not HOST/REPOSITORY:TAG", t.Tag)
	case !digest.Valid(t.Digest):
		return fmt.Errorf("%s has the invalid digest %.80q", t.Tag, t.Digest)
	case len(t.With) > maxWith:
		return fmt.Errorf("%s has more than %d others with it", t.Tag, maxWith)
	case !isLine(t.Age, t.Reason):
		return fmt.Errorf("the reason of %s is not a printable line", t.Tag)
	}
	for _, w := range t.With {
		switch with, err := reference.Parse("registry.example/x:" + w.Tag); {
		case !digest.Valid(w.Digest):
			return fmt.Errorf("what goes with %s has the invalid digest %.80q", t.Tag, w.Digest)
		case w.Kind == Referrer && w.Tag != "" || w.Kind != Referrer && (err != nil || with.Tag != w.Tag):
			return fmt.Errorf("what goes with %s has the invalid tag %.200q", t.Tag, w.Tag)
		case w.Kind == Companion && t.imageOf(w.Tag) == "":
			return fmt.Errorf("what goes with %s has the tag %.200q, which is not a tag of its digest or of an image that goes with it: remove it, too", t.Tag, w.Tag)
		case w.Kind != Additional && w.Kind != Kept && w.Kind != Companion && w.Kind != Referrer:
			return fmt.Errorf("what goes with %s has the unknown kind %.80q", t.Tag, w.Kind)
		}
	}
	return nil
}

// images returns the digests of the tag and of the tags that are deleted with it.
func (t *Tag) images() []string {
	all := []string{t.Digest}
	for _, w := range t.With {
		if (w.Kind == Additional || w.Kind == Kept) && !slices.Contains(all, w.Digest) {
			all = append(all, w.Digest)
		}
	}
	return all
}

// imageOf returns the image of t that another tag refers to by its digest, or "".
func (t *Tag) imageOf(tag string) string {
	for _, image := range t.images() {
		if isCompanion(tag, image) {
			return image
		}
	}
	return ""
}

// isLine reports whether texts are printable lines of a bounded length.
func isLine(texts ...string) bool {
	for _, s := range texts {
		if !text.IsPrintable(s) || utf8.RuneCountInString(s) > maxText+1 {
			return false
		}
	}
	return true
}
