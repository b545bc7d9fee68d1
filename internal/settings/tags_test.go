package settings

import (
	"fmt"
	"strings"
	"testing"
)

func TestTemplatesOfTags(t *testing.T) {
	s, found := Parse("f", []byte(head+"spec:\n  tags: [\"{tag}-{digest:12}\", \"{label:version}\"]\n  keep: \"{tag}-previous\"\n"))
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	if len(s.Tags) != 2 || s.Tags[0].String() != "{tag}-{digest:12}" || s.Keep.String() != "{tag}-previous" {
		t.Errorf("tags are %v and keep is %v", s.Tags, s.Keep)
	}
	for _, c := range []struct{ spec, want string }{
		{`tags: ["{tag}"]`, "f:6: tags has {tag} alone"},
		{`tags: ["a", "a"]`, "f:6: tags has a twice"},
		{`tags: ["{digest:99}"]`, `f:6: tags: "{digest:99}" has {digest:99}: write {digest:N}`},
		{`tags: ["{digest:12"]`, `f:6: tags: "{digest:12" has a { without a }`},
		{`tags: ["a:b"]`, `f:6: tags: "a:b" has the text "a:b"`},
		{`tags: "{tag}-x"`, "f:6: spec.tags is not a list"},
		{`tags: [1.0]`, `f:6: an entry of spec.tags is "1.0", which YAML`},
		{"tags: [a, b, c, d, e, f, g, h, i, j, k]", "f:6: tags has more than 10 templates"},
		{`keep: "{tag}"`, "f:6: keep is {tag} alone"},
		{`keep: "{label:x}"`, "f:6: keep is {label:x}: labels are for tags only"},
		{`keep: [a]`, "f:6: spec.keep is not a single value"},
	} {
		_, found := Parse("f", []byte(head+"spec:\n  "+c.spec+"\n"))
		if got := fmt.Sprint(found.Err()); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: got %s, want %s", c.spec, got, c.want)
		}
	}
}
