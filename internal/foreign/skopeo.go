package foreign

import (
	"errors"
	"path"
	"strings"

	"imagemirror/internal/digest"
	"imagemirror/internal/reference"
	"imagemirror/internal/strictyaml"
)

// skopeo reads the file of skopeo sync --src yaml
// (https://github.com/containers/skopeo/blob/main/docs/skopeo-sync.1.md): what is copied from which
// registry.
func (r *reader) skopeo(v strictyaml.Value) {
	v.Each(func(registry string, v strictyaml.Value) {
		if v.Empty() {
			unsaid(v, shown(registry), "the registry has no images")
			return
		}
		readers{
			"images":              func(v strictyaml.Value) { v.Each(r.images(registry)) },
			"images-by-tag-regex": func(v strictyaml.Value) { v.Each(r.filtered(registry, "images-by-tag-regex", byExpression)) },
			"images-by-semver":    func(v strictyaml.Value) { v.Each(r.filtered(registry, "images-by-semver", bySemver)) },
			"credentials":         elsewhere("credentials", belongsCredentials),
			"tls-verify": func(v strictyaml.Value) {
				if !v.Bool() {
					unsaid(v, "tls-verify", belongsRegistries)
				}
			},
			"cert-dir": elsewhere("cert-dir", belongsCA),
		}.read(v, "")
	})
}

// images returns a reader of an image of a registry with its tags and digests.
func (r *reader) images(registry string) func(string, strictyaml.Value) {
	return func(name string, v strictyaml.Value) {
		src, dst, err := r.repositories(registry, name)
		if err != nil {
			unsaid(v, "images", "%s is left out: %w", quotedName(name), err)
			return
		}
		if v.Empty() {
			r.add(v, Entry{Source: src.WithTag(everyTag), Destinations: []reference.Reference{dst}})
			return
		}
		v.List(func(v strictyaml.Value) {
			word, ok := v.Word()
			if !ok {
				return
			}
			e := Entry{Source: src.WithDigest(word), Destinations: []reference.Reference{dst}}
			if !digest.Valid(word) {
				if e.Source, err = withTag(src, word); err == nil {
					e.Destinations[0], err = withTag(dst, word)
				}
				if err != nil {
					unsaid(v, "images", "%s of %s is left out: %w", quotedName(word), quotedName(name), err)
					return
				}
			}
			r.add(v, e)
		})
	}
}

// filtered returns a reader of an image of a registry and of the filter for its tags.
func (r *reader) filtered(registry, key string, selection func(string) (*TagFilter, error)) func(string, strictyaml.Value) {
	return func(name string, v strictyaml.Value) {
		word, ok := v.Word()
		if !ok {
			return
		}
		src, dst, err := r.repositories(registry, name)
		e := Entry{Source: src.WithTag(everyTag), Destinations: []reference.Reference{dst}}
		if err == nil {
			e.Select, err = selection(word)
		}
		if err != nil {
			unsaid(v, key, "%s is left out: %w", quotedName(name), err)
			return
		}
		r.add(v, e)
	}
}

func byExpression(text string) (*TagFilter, error) {
	include, err := expressions([]string{text}, whole)
	return &TagFilter{Include: include}, err
}

func bySemver(text string) (*TagFilter, error) { return &TagFilter{Semver: text}, nil }

// repositories returns the repository of an image and the one that it is copied to.
func (r *reader) repositories(registry, name string) (src, dst reference.Reference, err error) {
	if src, err = parseRepository(registry + "/" + name); err != nil {
		return src, dst, err
	}
	if r.target.Prefix == "" {
		return src, dst, errors.New("the file does not name where skopeo sync copies to: give -dest, such as quay.io/org")
	}
	suffix := path.Base(src.Repository)
	if r.target.Scoped {
		suffix = src.Name()
	}
	dst, err = parseRepository(strings.TrimSuffix(r.target.Prefix, "/") + "/" + suffix)
	return src, dst, err
}
