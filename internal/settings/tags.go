package settings

import (
	"slices"

	"imagemirror/internal/strictyaml"
	"imagemirror/internal/tagname"
)

// maxTemplates bounds the additional tags of an image: each is one more push.
const maxTemplates = 10

// tags reads one of the templates of the tags that each image that moves gets too.
func (s *Settings) tags(v strictyaml.Value) {
	t, ok := readTemplate(v, "tags")
	switch {
	case !ok:
	case len(s.Tags) == maxTemplates:
		v.Refuse("tags has more than %d templates: each is one more push of an image, so leave some out", maxTemplates)
	case t.String() == "{tag}":
		v.Refuse("tags has {tag} alone, which is the tag that the mapping names: add something to it, such as {tag}-{digest:12}")
	case slices.ContainsFunc(s.Tags, t.Equal):
		v.Refuse("tags has %s twice: remove one", t)
	default:
		s.Tags = append(s.Tags, t)
	}
}

// keep reads the template of the tag that keeps what a tag pointed at before it moves.
func (s *Settings) keep(v strictyaml.Value) {
	t, ok := readTemplate(v, "keep")
	switch {
	case !ok:
	case t.String() == "{tag}":
		v.Refuse("keep is {tag} alone, which is the tag that moves: write one such as {tag}-previous")
	case t.NeedsLabels():
		v.Refuse("keep is %s: labels are for tags only, write one such as {tag}-previous", t)
	default:
		s.Keep = t
	}
}

func readTemplate(v strictyaml.Value, key string) (tagname.Template, bool) {
	text, ok := v.Text()
	if !ok {
		return tagname.Template{}, false
	}
	t, err := tagname.Parse(text)
	if err != nil {
		v.Refuse("%s: %.*q %w", key, maxText, text, err)
		return tagname.Template{}, false
	}
	return t, true
}
