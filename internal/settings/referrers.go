package settings

import (
	"slices"

	"imagemirror/internal/strictyaml"
)

// Referrers say which signatures, attestations and the like travel with an image.
type Referrers struct {
	Copy     string   `yaml:"copy"`     // when: one of the Copy constants
	Types    []string `yaml:"types"`    // artifact types; none: all
	Required bool     `yaml:"required"` // an image is not published without them
}

// When referrers are copied.
const (
	CopyCopied = "copied" // with images that are copied
	CopyAlways = "always" // for images that are current, too
	CopyNone   = "none"
)

// maxTypes bounds the artifact types that travel with an image.
const maxTypes = 50

func (s *Settings) referrers(v strictyaml.Value) {
	v.Keys(
		strictyaml.Key{Name: "copy", Read: func(v strictyaml.Value) {
			when, ok := v.Text()
			if ok && !slices.Contains([]string{CopyCopied, CopyAlways, CopyNone}, when) {
				v.Refuse("referrers.copy is %.*q: write %s, %s or %s", maxText, when, CopyCopied, CopyAlways, CopyNone)
				return
			}
			s.Referrers.Copy = when
		}},
		strictyaml.Key{Name: "types", Read: func(v strictyaml.Value) { v.List(s.referrerType) }},
		strictyaml.Key{Name: "required", Read: func(v strictyaml.Value) { s.Referrers.Required = v.Bool() }},
	)
	if s.Referrers.Required && s.Referrers.Copy == CopyNone {
		v.Refuse("referrers.required demands what referrers.copy: none leaves behind: remove one of the two")
	}
}

func (s *Settings) referrerType(v strictyaml.Value) {
	kind, ok := v.Text()
	switch {
	case !ok:
	case len(kind) > maxText || kind == "":
		v.Refuse("the artifact type %.*q must have 1 to %d bytes: write one such as application/spdx+json", maxText, kind, maxText)
	case len(s.Referrers.Types) == maxTypes:
		v.Refuse("referrers.types has more than %d types: leave it out to copy all", maxTypes)
	default:
		s.Referrers.Types = append(s.Referrers.Types, kind)
	}
}
