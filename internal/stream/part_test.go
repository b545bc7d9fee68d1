package stream

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"imagemirror/internal/digest"
	"imagemirror/internal/manifest"
)

// A copy of a part of an index brings that, and all that travels with it, each once.
func TestTreeOfAPart(t *testing.T) {
	a := manifest.NewArchive()
	add := func(content string) string {
		parsed, err := manifest.Parse("", []byte(content))
		if err != nil {
			t.Fatal(err)
		}
		named := digest.Of([]byte(content))
		a.Add(named, []byte(content), parsed)
		return named
	}
	image := func(name string) string {
		return add(fmt.Sprintf(`{"mediaType":%q,"config":{"digest":%q,"size":1}}`, manifest.OCIManifest, digest.Of([]byte(name))))
	}
	index := func(children ...string) string {
		var entries []string
		for _, c := range children {
			entries = append(entries, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":1}`, manifest.OCIManifest, c))
		}
		return add(fmt.Sprintf(`{"mediaType":%q,"manifests":[%s]}`, manifest.OCIIndex, strings.Join(entries, ",")))
	}
	one, two, sig := image("one"), image("two"), image("sig")
	root, with := index(one, two), index(sig, one)
	attached := []Attachment{{Digest: with}, {Digest: two, Error: &Error{}}}
	for _, c := range []struct {
		name string
		copy Copy
		want []string
	}{
		{"all", Copy{Digest: root, Attached: attached}, []string{root, with, one, two, sig}},
		{"a part", Copy{Digest: root, Only: []string{two}}, []string{root, two}},
		{"a part with what travels", Copy{Digest: root, Only: []string{two}, Attached: attached}, []string{root, two, with, sig, one}},
		{"a part that is not there", Copy{Digest: root, Only: []string{digest.Of(nil)}}, []string{root}},
		{"only what travels", Copy{Digest: root, Old: root, Only: []string{two}, Attached: attached}, []string{with, sig, one}},
		{"what lacks", Copy{Digest: root, Old: root, Only: []string{two}, Completes: true}, []string{root, two}},
	} {
		var got []string
		for _, ref := range c.copy.Tree(a) {
			got = append(got, a.Digest(ref))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}
