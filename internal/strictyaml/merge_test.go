package strictyaml_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/finding"
	"imagemirror/internal/strictyaml"
)

// mergedKeys returns the keys and values of the mapping below "in", with what it merges.
func mergedKeys(text string) (map[string]string, *finding.List) {
	got := map[string]string{}
	found := strictyaml.ReadLong(finding.Input, "f.yml", []byte(text), 1<<20, 100_000, func(v strictyaml.Value) {
		v.Each(func(key string, v strictyaml.Value) {
			if key == "in" {
				maps.Copy(got, v.Merged().Texts())
			}
		})
	})
	return got, found
}

func TestMergedMappings(t *testing.T) {
	const base = "x: &x {a: x, b: x}\ny: &y {b: y, c: y}\nz: &z {<<: *x, a: z}\n"
	for _, c := range []struct {
		name, in string
		want     map[string]string
	}{
		{"none", "in: {a: own}", map[string]string{"a": "own"}},
		{"one", "in: {<<: *x, a: own}", map[string]string{"a": "own", "b": "x"}},
		{"after the key", "in: {a: own, <<: *x}", map[string]string{"a": "own", "b": "x"}},
		{"several", "in: {<<: [*y, *x]}", map[string]string{"a": "x", "b": "y", "c": "y"}},
		{"nested", "in: {<<: [*z, *y]}", map[string]string{"a": "z", "b": "x", "c": "y"}},
		{"written out", "in: {<<: {a: there}}", map[string]string{"a": "there"}},
		{"quoted, which is a key like any other", `in: {"<<": there}`, map[string]string{"<<": "there"}},
		{"what is no mapping", "in: {<<: [1, x], a: own}", map[string]string{"a": "own"}},
	} {
		got, found := mergedKeys(base + c.in)
		if diff := cmp.Diff(c.want, got); diff != "" || found.Err() != nil {
			t.Errorf("%s (-want +got):\n%s%v", c.name, diff, found.Err())
		}
	}
}

// A key that is there twice is refused, though merged keys may repeat others.
func TestMergedMappingsKeepTheirMistakes(t *testing.T) {
	_, found := mergedKeys("x: &x {a: x}\nin:\n  <<: *x\n  b: own\n  b: again\n")
	if err := found.Err(); err == nil || err.Error() != `f.yml:5: the key "b" is there twice: keep one` {
		t.Errorf("got %v", err)
	}
}

// Mappings that merge each other many times over take no time and no memory.
func TestMergesDoNotMultiply(t *testing.T) {
	var b strings.Builder
	b.WriteString("a0: &a0 {k: v}\n")
	for i := 1; i < 900; i++ {
		fmt.Fprintf(&b, "a%d: &a%d {<<: [*a%d, *a%d, *a%d]}\n", i, i, i-1, i-1, max(i-2, 0))
	}
	b.WriteString("in: {<<: *a899}\n")
	got, found := mergedKeys(b.String())
	if got["k"] != "v" || len(got) != 1 || found.Err() != nil {
		t.Errorf("got %v, %v", got, found.Err())
	}
	b.Reset()
	for i := range 5000 {
		fmt.Fprintf(&b, "a%d: &a%d {k%d: v}\n", i, i, i)
	}
	b.WriteString("in: {<<: [*a0")
	for i := range 5000 {
		fmt.Fprintf(&b, ", *a%d", i)
	}
	b.WriteString("]}\n")
	if got, _ := mergedKeys(b.String()); len(got) > 2000 {
		t.Errorf("got %d keys", len(got))
	}
}
