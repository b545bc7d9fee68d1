package prune

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"imagemirror/internal/digest"
	"imagemirror/internal/manifest"
	"imagemirror/internal/reference"
)

// named returns the digest of a name.
func named(format string, args ...any) digestSum {
	sum, _ := digest.Parse(nameDigest(format, args...))
	return sum
}

func nameDigest(format string, args ...any) string {
	return digest.Of(fmt.Appendf(nil, format, args...))
}

// Indexes that list the same indexes, which list the same ones in turn, are searched once each.
func TestNestedIndexesAreSearchedOnce(t *testing.T) {
	t.Parallel()
	const levels, width = manifest.MaxDepth - 1, 50
	r := newRepository(nil)
	level := func(n int) (all []entry) {
		for i := range width {
			all = append(all, entry{sum: named("%d-%d", n, i)})
		}
		return all
	}
	for n := range levels {
		for _, e := range level(n) {
			r.below[e.sum] = level(n + 1)
		}
	}
	for _, e := range level(levels) {
		r.below[e.sum] = []entry{{named("image"), true}}
	}
	r.at["v1"] = level(0)[0]
	for name, want := range map[string]bool{"image": true, "7-49": true, "none": false} {
		if got := r.leads(t.Context(), nameDigest("%s", name), []string{"v1"}, nil); got != want {
			t.Errorf("the tag leads to %s: %t, want %t", name, got, want)
		}
	}
}

// Any tag may lead to an image if the repository has more tags or entries than are kept.
func TestLargeRepositoriesKeepReferrers(t *testing.T) {
	t.Parallel()
	r := newRepository(nil)
	r.at["v1"] = entry{sum: named("small")}
	r.at["v2"] = entry{sum: named("large")}
	if err := r.keep(named("small"), []entry{{named("image"), true}}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it is not counted twice
		if err := r.keep(named("large"), make([]entry, maxKept-1)); err != nil {
			t.Fatal(err)
		}
	}
	if r.leads(t.Context(), nameDigest("none"), []string{"v1", "v2"}, nil) {
		t.Error("a tag leads to an image that no index lists")
	}
	for _, n := range []int{0, 1, maxKept} {
		if err := r.keep(named("more %d", n), make([]entry, n)); !errors.Is(err, errManyEntries) || len(r.below) != 2 {
			t.Errorf("%d more entries: %v, and %d indexes are kept", n, err, len(r.below))
		}
	}
	r.at["v3"] = entry{sum: named("more 1")}
	for _, c := range []struct {
		tags []string
		to   string
		want bool
	}{
		{[]string{"v1", "v2"}, nameDigest("none"), false},
		{[]string{"v1", "v2", "v3"}, nameDigest("none"), true},
		{[]string{"v1"}, "sha512:" + strings.Repeat("0", 128), true},
		{make([]string, maxAsked+1), nameDigest("none"), true},
	} {
		if got := r.leads(t.Context(), c.to, c.tags, nil); got != c.want {
			t.Errorf("one of %d tags leads to %s: %t", len(c.tags), c.to, got)
		}
	}
}

// A repository is kept as long as a tag of it is not done.
func TestRepositoriesAreForgotten(t *testing.T) {
	t.Parallel()
	l := newRepositories(client(t))
	image := func(repository, tag string) reference.Reference {
		return reference.Reference{Registry: "registry.example", Repository: repository, Tag: tag}
	}
	a, b, other := image("a", "1"), image("a", "2"), image("b", "1")
	for _, i := range []reference.Reference{a, b, other} {
		l.expect(i)
	}
	first, err := l.open(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	l.done(a)
	l.done(other) // it was never opened
	if again, err := l.open(t.Context(), b); again != first || err != nil {
		t.Errorf("the repository is opened a second time: %v", err)
	}
	l.done(b)
	if len(l.known)+len(l.expected) > 0 {
		t.Errorf("%d repositories are kept, and %d expected", len(l.known), len(l.expected))
	}
}
