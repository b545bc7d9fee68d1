package imageset

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAdditionalTagsThatCannotBe(t *testing.T) {
	long := strings.Repeat("l", 120)
	for _, c := range []struct {
		name, spec, mappings string
		want                 []string
	}{
		{"all is well", `{tags: ["{tag}-{digest:12}", "{date:20060102}-{digest:12}"], keep: "{tag}-previous"}`, "q.io/s/a:1 q.io/d/a\nq.io/s/b:* q.io/d/b\n", nil},
		{"too long with the tag", `{tags: ["{tag}-{digest:12}"]}`, "q.io/s/a:1 q.io/d/a:" + long + "\n",
			[]string{"one/mapping_a:1: additional tag of q.io/d/a:" + long + `: {tag}-{digest:12} makes "` + long[:80] + `…", which is not a tag`}},
		{"no tag", `{tags: ["{tag}-{digest:12}"], keep: "{tag}-old"}`, "q.io/s/a@" + someDigest + " q.io/d/a\n",
			[]string{"one/mapping_a:1: additional tag of q.io/d/a: {tag}-{digest:12} has no value for {tag}: the destination has no tag"}},
		{"no tag is needed", `{tags: ["d-{digest:12}"], keep: "{tag}-old"}`, "q.io/s/a@" + someDigest + " q.io/d/a\n", nil},
		{"no tag of the source", `{tags: ["{source.tag}-x"]}`, "q.io/s/a@" + someDigest + " q.io/d/a:1\n",
			[]string{"one/mapping_a:1: additional tag of q.io/d/a:1: {source.tag}-x has no value for {source.tag}: the source has no tag"}},
		{"another mapping's destination", `{keep: "{tag}-old"}`, "q.io/s/a:1 q.io/d/a:1\nq.io/s/a:2 q.io/d/a:1-old\n",
			[]string{"one/mapping_a:1: additional tag of q.io/d/a:1: {tag}-old makes 1-old, which is the destination of one/mapping_a:2: change the template"}},
		{"its own destination", `{tags: ["{source.tag}"]}`, "q.io/s/a:1 q.io/d/a:1\n",
			[]string{"one/mapping_a:1: additional tag of q.io/d/a:1: {source.tag} makes 1, which is the destination of one/mapping_a:1: change the template"}},
		{"another mapping's additional tag", `{tags: [stable]}`, "q.io/s/a:1 q.io/d/a:1 q.io/d/b:1\nq.io/s/a:2 q.io/d/a:2\n",
			[]string{"one/mapping_a:2: additional tag of q.io/d/a:2: stable makes stable, which is an additional tag of q.io/d/a:1 at one/mapping_a:1, too: add {tag}"}},
		{"of one source", `{tags: ["{source.tag}-x"]}`, "q.io/s/a:1 q.io/d/a:1 q.io/d/a:2\n", nil},
		{"one that keeps two", `{keep: old}`, "q.io/s/a:1 q.io/d/a:1 q.io/d/a:2\n",
			[]string{"one/mapping_a:1: additional tag of q.io/d/a:2: old makes old, which is an additional tag of q.io/d/a:1 at one/mapping_a:1, too: add {tag}"}},
		{"two templates", `{tags: ["{tag}-x"], keep: "{source.tag}-x"}`, "q.io/s/a:1 q.io/d/a:1\n",
			[]string{"one/mapping_a:1: additional tag of q.io/d/a:1: {tag}-x and {source.tag}-x make the same tag 1-x: change one of the two"}},
		{"one template for both", `{tags: ["{tag}-{date:20060102}"], keep: "{tag}-{date:20060102}"}`, "q.io/s/a:1 q.io/d/a:1\n",
			[]string{"one/mapping_a:1: additional tag of q.io/d/a:1: {tag}-{date:20060102} and {tag}-{date:20060102} make the same tag 1-20260930: change one of the two"}},
		{"one template for both, of a wildcard", `{keep: "{tag}-x", tags: ["{tag}-x"]}`, "q.io/s/a:v* q.io/d/a\n",
			[]string{"one/mapping_a:1: additional tag of q.io/d/a: {tag}-x and {tag}-x make the same tag TAG-x: change one of the two"}},
		{"two templates, of a wildcard", `{tags: ["{tag}-x"], keep: "{source.tag}-x"}`, "q.io/s/a:* q.io/d/a q.io/d/b\n",
			[]string{
				"one/mapping_a:1: additional tag of q.io/d/a: {tag}-x and {source.tag}-x make the same tag TAG-x: change one of the two",
				"one/mapping_a:1: additional tag of q.io/d/b: {tag}-x and {source.tag}-x make the same tag TAG-x: change one of the two",
			}},
		{"digests differ", `{tags: ["{tag}-{digest:12}"], keep: "{tag}-{digest:12}"}`, "q.io/s/a:1 q.io/d/a:1\nq.io/s/a:v* q.io/d/a\n", nil},
		{"the tag of a wildcard", `{keep: "{source.tag}"}`, "q.io/s/a:v* q.io/d/a\n",
			[]string{"one/mapping_a:1: additional tag of q.io/d/a: {source.tag} makes the tag that is mirrored: change the template"}},
		{"would move", `{tags: ["v-{tag}"], immutable: ["v*"]}`, "q.io/s/a:1 q.io/d/a:1\n",
			[]string{"one/mapping_a:1: additional tag of q.io/d/a:1: v-{tag} makes v-1, which spec.immutable covers and which would move: add {digest:12}, or change the pattern"}},
		{"does not move", `{tags: ["v-{tag}-{digest:12}"], immutable: ["v*"]}`, "q.io/s/a:1 q.io/d/a:1\n", nil},
		{"nor does its mapping", `{tags: ["{tag}-x"], immutable: ["v*"]}`, "q.io/s/a:v1 q.io/d/a:v1\n", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			settings := "apiVersion: imagemirror/v1\nkind: Settings\nmetadata: {name: one}\nspec: " + c.spec + "\n"
			write(t, map[string]string{"one/OWNERS": owners, "one/mapping_a": c.mappings, "one/settings.yaml": settings})
			_, err := Load([]string{"one"}, nil)
			var got []string
			if err != nil {
				got = strings.Split(fmt.Sprint(err), "\n")
			}
			if len(got) == 1 && len(c.want) == 1 && strings.HasPrefix(got[0], c.want[0]) {
				return
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

// Sets that are checked together are compared, too.
func TestAdditionalTagIsAnotherSetsDestination(t *testing.T) {
	write(t, map[string]string{
		"one/OWNERS": owners, "one/mapping_a": "q.io/s/a:1 q.io/d/a:1\n", "one/settings.yaml": settingsOf("one", `tags: ["{tag}-x"]`),
		"two/OWNERS": owners, "two/mapping_b": "q.io/s/b:1 q.io/d/a:1-x\n",
	})
	_, err := Load([]string{"one", "two"}, nil)
	if want := "one/mapping_a:1: additional tag of q.io/d/a:1: {tag}-x makes 1-x, which is the destination of two/mapping_b:1"; !strings.HasPrefix(fmt.Sprint(err), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

const someDigest = "sha256:0561bce5bdc5fd79af0e51c4f161ed7ab76aca4674e5f906555ff4c676b83e60"
