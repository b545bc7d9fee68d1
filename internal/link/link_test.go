package link

import (
	"net/url"
	"strings"
	"testing"
)

func TestTemplatesAreChecked(t *testing.T) {
	for _, c := range []struct{ template, says string }{
		{"https://github.com/org/repo/blob/main/{file}#L{line}", ""},
		{"https://github.com/org/repo/blob/main/image-sets/{set}/{name}#L{line}", ""},
		{"http://git.example:8080/?f={file}", ""},
		{"https://git.example", ""},
		{"", "is not an address"},
		{"ftp://git.example/{file}", "is not an address"},
		{"javascript:alert({line})", "is not an address"},
		{"//git.example/{file}", "is not an address"},
		{"https:///{file}", "is not an address"},
		{"https://{file}/x", "a placeholder in its host"},
		{"https://git.example{file}/x", "a placeholder in its host"},
		{"https://git.example:{line}/x", "is not an address"},
		{"https://user:secret@git.example/{file}", "has a user"},
		{"https://git.example/{file}}", "a single brace"},
		{"https://git.example/{path}", "placeholder \"{path}\" is not known: write {file} or {"},
		{"https://git.example/\x00", "is not an address"},
		{"https://git.example/" + strings.Repeat("x", 1000), "more than 1000 bytes"},
	} {
		err := Template(c.template).Check("file", "line", "set", "name")
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%.60q: got %v, want %q", c.template, err, c.says)
		}
	}
}

func TestExpandEscapesValues(t *testing.T) {
	const at = Template("https://git.example/blob/{file}#L{line}")
	for _, c := range []struct{ file, want string }{
		{"image-sets/knative/mapping_knative_v1", "https://git.example/blob/image-sets/knative/mapping_knative_v1#L7"},
		{"./image-sets/a b", "https://git.example/blob/image-sets/a%20b#L7"},
		{"/workspace/mapping_a", "https://git.example/blob/workspace/mapping_a#L7"},
		{"../../settings?x=1#y", "https://git.example/blob/settings%3Fx%3D1%23y#L7"},
		{"a)[b](https://evil.example", "https://git.example/blob/a%29%5Bb%5D%28https%3A/evil.example#L7"},
		{"{line}", "https://git.example/blob/%7Bline%7D#L7"},
	} {
		if got := at.Expand(map[string]string{"file": c.file, "line": "7"}); got != c.want {
			t.Errorf("%q: got %s, want %s", c.file, got, c.want)
		}
	}
	if got := Template("").Expand(nil); got != "" {
		t.Errorf("no template gives %q", got)
	}
}

func FuzzExpand(f *testing.F) {
	f.Add("a/../b")
	f.Add("\x00 <\">)|`\u2028")
	f.Fuzz(func(t *testing.T, file string) {
		got := Template("https://git.example/blob/{file}").Expand(map[string]string{"file": file})
		u, err := url.Parse(got)
		if err != nil || u.Host != "git.example" || !strings.HasPrefix(u.Path, "/blob/") || strings.ContainsAny(got, " ()<>|`\"\\") || u.RawQuery != "" {
			t.Errorf("%q expands to %q, %v", file, got, err)
		}
	})
}

func TestPagesOfImages(t *testing.T) {
	for _, c := range []struct{ name, want string }{
		{"quay.io/openshift-knative/client:v1.16", "https://quay.io/repository/openshift-knative/client"},
		{"docker.io/library/nginx:1", "https://hub.docker.com/_/nginx"},
		{"docker.io/grafana/grafana:12", "https://hub.docker.com/r/grafana/grafana"},
		{"ghcr.io/org/name:v1", "https://ghcr.io/org/name"},
		{"registry.example/org/name:v1", ""},
		{"quay.io.evil.example/a/b:v1", ""},
		{"quay.io/<script>", ""},
		{"", ""},
	} {
		if got := Image(c.name); got != c.want {
			t.Errorf("%q: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestIDsArePlain(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{"knative", "a.b-c", "", ".", "..", "a..b", "Upper", "upper", "a/b", "-a", "_x", "con\x00", "é", "<script>", strings.Repeat("a", 129)} {
		id := ID(name)
		if !plain.MatchString(id) && !plain.MatchString(id[1:]) {
			t.Errorf("%q has the id %q", name, id)
		}
		if other, taken := seen[id]; taken {
			t.Errorf("%q and %q have one id", name, other)
		}
		seen[id] = name
	}
	if ID("knative") != "knative" {
		t.Error("a plain name is not its id")
	}
}
