package settings

import (
	"imagemirror/internal/platforms"
	"imagemirror/internal/strictyaml"
)

// Platforms say for which platforms images are copied, of those that have several.
type Platforms struct {
	Only platforms.List `yaml:"only"` // none: all
	Form string         `yaml:"form"` // one of the Form constants
}

// What a destination gets of an index of which only some platforms are asked for.
const (
	FormSparse  = "sparse"  // the index as it is, of which the others are not copied
	FormRewrite = "rewrite" // an index that has no others
	FormFlatten = "flatten" // the image for the one platform
)

// Change reports whether the destination gets another digest than the source has.
func (p Platforms) Change() bool {
	return len(p.Only) > 0 && (p.Form == FormRewrite || p.Form == FormFlatten)
}

// readPlatforms reads a list of platforms, or a mapping with the list and the form.
func (s *Settings) readPlatforms(v strictyaml.Value) {
	if !v.IsMapping() {
		s.platformList(v)
		return
	}
	listed := false
	v.Keys(
		strictyaml.Key{Name: "only", Read: func(v strictyaml.Value) { listed = true; s.platformList(v) }},
		strictyaml.Key{Name: "form", Read: func(v strictyaml.Value) {
			form, ok := v.Text()
			if ok && form != FormSparse && form != FormRewrite && form != FormFlatten {
				v.Refuse("platforms.form is %.*q: write %s, %s or %s", maxText, form, FormSparse, FormRewrite, FormFlatten)
				return
			}
			s.Platforms.Form = form
		}},
	)
	if !listed {
		v.Refuse("platforms.only is missing: list the platforms, or leave platforms out to copy all")
	}
	if s.Platforms.Form == FormFlatten && len(s.Platforms.Only) > 1 {
		v.Refuse("platforms.form is %s, which is for one platform, and platforms.only lists %d: write %s, or list one", FormFlatten, len(s.Platforms.Only), FormRewrite)
	}
}

func (s *Settings) platformList(v strictyaml.Value) {
	// An empty list could mean none or all.
	if v.Empty() {
		v.Refuse("platforms lists none: name one such as linux/amd64, or leave the key out to copy all")
	}
	v.List(func(v strictyaml.Value) {
		name, ok := v.Text()
		if !ok {
			return
		}
		p, err := platforms.Parse(name)
		switch {
		case err != nil:
			v.Refuse("%.*q is not a platform: %w", maxText, name, err)
		case len(s.Platforms.Only) == platforms.Max:
			v.Refuse("platforms has more than %d platforms: leave it out to copy all", platforms.Max)
		default:
			for _, other := range s.Platforms.Only {
				if other.String() == p.String() {
					v.Refuse("platforms lists %s twice, here as %.*q: keep one", p, maxText, name)
					return
				}
			}
			s.Platforms.Only = append(s.Platforms.Only, p)
		}
	})
}

// checkPlatforms refuses a form of platforms that other keys make impossible. v is their value.
func (s *Settings) checkPlatforms(v strictyaml.Value) {
	if s.Platforms.Change() && s.Referrers.Required {
		v.Refuse("platforms.form is %s, and referrers.required is true: signatures are of the index at the source, which is not published: write %s, or leave referrers.required out", s.Platforms.Form, FormSparse)
	}
}
