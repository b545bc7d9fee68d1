package prune

import (
	"errors"
	"strings"
	"testing"

	"imagemirror/internal/imageset"
	"imagemirror/internal/mapping"
	"imagemirror/internal/reference"
)

// What another name of a tag leads to is wanted, too, and so is what a wildcard of another set may
// match.
func TestWantedByAnotherName(t *testing.T) {
	parse := func(name string) reference.Reference {
		r, err := reference.ParsePattern(name)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	w := &wanted{located: map[string]string{}, names: map[string]bool{}, patterns: map[string][]*mapping.Mapping{}}
	w.locate = func(image reference.Reference) (string, error) {
		switch image.Registry {
		case "alias.io":
			return "real.io/" + image.Repository, nil
		case "blocked.io":
			return "", errors.New("blocked")
		}
		return image.Name(), nil
	}
	digest := "@sha256:" + strings.Repeat("a", 64)
	w.add(&imageset.Set{Mappings: []mapping.Mapping{
		{Source: parse("s.io/a" + digest), Destination: parse("alias.io/org/e")},
		{Source: parse("s.io/a:v1"), Destination: parse("alias.io/org/a:v1")},
		{Source: parse("s.io/a:w*"), Destination: parse("alias.io/org/b")},
		{Source: parse("s.io/a:v1"), Destination: parse("blocked.io/org/a:v1")},
		{Source: parse("alias.io/org/c:v1"), Destination: parse("t.io/org/c:v1")},
		{Source: parse("real.io/org/d:v*"), Destination: parse("t.io/org/d")},
	}})
	for name, want := range map[string]bool{
		"alias.io/org/a:v1": true, "real.io/org/a:v1": true, "real.io/org/a:v2": false, "other.io/org/a:v1": false,
		"real.io/org/b:w1": true, "alias.io/org/b:w": true, "real.io/org/b:v1": false, "blocked.io/org/a:v1": true, "Not A Name": true,
		"real.io/org/e" + digest: true, "real.io/org/b" + digest: false,
		// What a mapping reads is wanted, too.
		"real.io/org/c:v1": true, "real.io/org/c:v2": false, "alias.io/org/d:v2": true, "real.io/org/d:w": false,
	} {
		if w.has(name) != want {
			t.Errorf("%s is wanted %v, want %v", name, !want, want)
		}
	}
}
