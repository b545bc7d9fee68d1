package settings

import (
	"fmt"
	"strings"
	"testing"
)

// specOf returns a settings file with lines below spec, the first of which is line 6.
func specOf(lines string) []byte {
	return fmt.Appendf(nil, "apiVersion: imagemirror/v1\nkind: Settings\nmetadata:\n  name: f\nspec:\n  %s\n", strings.ReplaceAll(lines, "\n", "\n  "))
}

func TestPlatforms(t *testing.T) {
	for _, c := range []struct{ name, lines, only, form string }{
		{"none", "rate: 50", "", FormSparse},
		{"a list", "platforms: [linux/amd64, linux/arm64/v8]", "linux/amd64, linux/arm64", FormSparse},
		{"a list of lines", "platforms:\n- linux/amd64", "linux/amd64", FormSparse},
		{"with a form", "platforms: {only: [linux/amd64, windows(10.0.20348)/amd64], form: rewrite}", "linux/amd64, windows(10.0.20348)/amd64", FormRewrite},
		{"without a form", "platforms:\n  only: [linux/arm]", "linux/arm/v7", FormSparse},
		{"one", "platforms: {form: flatten, only: [linux/s390x]}", "linux/s390x", FormFlatten},
		{"sparse with signatures", "platforms: [linux/amd64]\nreferrers: {required: true}", "linux/amd64", FormSparse},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, found := Parse("f", specOf(c.lines))
			if err := found.Err(); err != nil {
				t.Fatal(err)
			}
			got := s.WithDefaults().Platforms
			if got.Only.String() != c.only || got.Form != c.form {
				t.Errorf("got %q and %q, want %q and %q", got.Only, got.Form, c.only, c.form)
			}
			if want := c.only != "" && c.form != FormSparse; got.Change() != want {
				t.Errorf("it changes the digest: %t, want %t", got.Change(), want)
			}
		})
	}
}

func TestPlatformsRefuses(t *testing.T) {
	many := make([]string, 33)
	for i := range many {
		many[i] = fmt.Sprintf("linux/amd64/v%d", i+1)
	}
	for _, c := range []struct{ name, lines, want string }{
		{"an empty list", "platforms: []", "6: platforms lists none"},
		{"no value", "platforms:", "6: platforms lists none"},
		{"one text", "platforms: linux/amd64", "6: spec.platforms is not a list"},
		{"a list of numbers", "platforms: [5]", "6: an entry of spec.platforms is"},
		{"no platform", "rate: 50\nplatforms:\n- linux/amd64\n- amd64", `9: "amd64" is not a platform: write OS/ARCHITECTURE`},
		{"a wrong architecture", "platforms: [linux/amd46]", `6: "linux/amd46" is not a platform: no architecture is called amd46`},
		{"a wrong system", "platforms: {only: [linus/amd64]}", `6: "linus/amd64" is not a platform: no operating system is called linus`},
		{"a pattern", "platforms: ['linux/*']", `6: "linux/*" is not a platform`},
		{"junk", `platforms: ["linux/amd64\u202e"]`, "6: an entry of spec.platforms is"},
		{"twice", "platforms:\n- linux/arm64\n- linux/aarch64/v8", `8: platforms lists linux/arm64 twice, here as "linux/aarch64/v8"`},
		{"too many", "platforms: [" + strings.Join(many, ", ") + "]", "6: platforms has more than 32 platforms"},
		{"an unknown form", "platforms:\n  only: [linux/amd64]\n  form: thin", `8: platforms.form is "thin": write sparse, rewrite or flatten`},
		{"an unknown key", "platforms: {only: [linux/amd64], from: sparse}", `6: unknown key "from": write only or form`},
		{"a form alone", "platforms: {form: rewrite}", "6: platforms.only is missing"},
		{"two in one", "platforms: {only: [linux/amd64, linux/arm64], form: flatten}", "6: platforms.form is flatten, which is for one platform, and platforms.only lists 2"},
		{"signatures of what is not published", "referrers: {required: true}\nplatforms: {only: [linux/amd64], form: rewrite}", "7: platforms.form is rewrite, and referrers.required is true"},
		{"the same in another order", "platforms: {only: [linux/amd64], form: flatten}\nreferrers: {required: true}", "6: platforms.form is flatten, and referrers.required is true"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, found := Parse("f", specOf(c.lines))
			if err := found.Err(); err == nil || !strings.HasPrefix(err.Error(), "f:"+c.want) {
				t.Errorf("got %v, want it to begin with f:%s", err, c.want)
			}
		})
	}
}
