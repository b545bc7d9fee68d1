package settings

import (
	"strings"
	"testing"
)

func TestReferrers(t *testing.T) {
	const file = "apiVersion: imagemirror/v1\nkind: Settings\nmetadata: {name: x, annotations: {config.kubernetes.io/local-config: \"true\"}}\nspec:\n  referrers: "
	for _, c := range []struct{ name, value, copy, says string }{
		{"nothing", "{}", CopyCopied, ""},
		{"copied", "{copy: copied}", CopyCopied, ""},
		{"always", "{copy: always, required: true}", CopyAlways, ""},
		{"none", "{copy: none}", CopyNone, ""},
		{"none, required", "{copy: none, required: true}", CopyNone, "referrers.required demands what referrers.copy: none leaves behind"},
		{"another word", "{copy: Always}", CopyCopied, `referrers.copy is "Always": write copied, always or none`},
		{"a number", "{copy: 1}", CopyCopied, "copy"},
		{"a list", "{copy: [always]}", CopyCopied, "copy"},
		{"an empty type", `{types: [""]}`, CopyCopied, "types has no value"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, found := Parse("settings.yaml", []byte(file+c.value+"\n"))
			if got := s.WithDefaults().Referrers.Copy; got != c.copy {
				t.Errorf("copy is %q, want %q", got, c.copy)
			}
			all := ""
			for _, f := range found.All() {
				all += f.Error() + "\n"
			}
			if c.says == "" && all != "" || !strings.Contains(all, c.says) || c.says != "" && !strings.Contains(all, "settings.yaml:5") {
				t.Errorf("found %q, want %q", all, c.says)
			}
		})
	}
}
